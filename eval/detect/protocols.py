"""Protocols of detection: every number of each, the images, and what others got by it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dilo.eval.detect.recipe import (
    DetectionRecipe,
    DetectorRecipe,
    InputRecipe,
    ScheduleRecipe,
    detection_recipe,
)
from dilo.train.recipes.schema import flat, merged


@dataclass(frozen=True)
class Published:
    """A row of somebody's table, in per cent."""

    #: What was pretrained, and how long.
    backbone: str
    #: Whose table: "DiLo", for the paper, "MoCo repository", "InfoMin".
    source: str
    #: AP, AP50 and AP75 of boxes, the latter two None where the table has none.
    box: tuple[float, float | None, float | None]
    #: The same of masks.
    mask: tuple[float, float | None, float | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a detector is trained and scored, and what others got."""

    name: str
    #: Whose it is, and what it is.
    about: str
    data: Literal["voc", "coco"]
    #: VOC's year and list, or COCO's split; several are joined.
    train: tuple[str, ...]
    test: str
    recipe: DetectionRecipe
    #: Of backbones of ImageNet, ResNet-50.
    published: tuple[Published, ...] = ()
    #: Whether its numbers compare with those of papers.
    comparable: bool = True


#: Values that are written one by one; of more, the first and the last.
_SHOWN = 4

_VOC_ROWS = (
    Published("random", "MoCo", (33.8, 60.2, 33.1)),
    Published("supervised", "MoCo repository", (53.5, 81.3, 58.8)),
    Published("MoCo v1, 200 epochs", "MoCo repository", (55.9, 81.5, 62.6)),
    Published("MoCo v2, 200 epochs", "MoCo repository", (57.0, 82.4, 63.6)),
    Published("MoCo v2, 800 epochs", "MoCo repository", (57.4, 82.5, 64.0)),
    Published("DiLo-RBD, MoCo v1", "DiLo", (56.5, 81.9, 63.3)),
    Published("DiLo-BASNet, MoCo v1", "DiLo", (56.9, 82.1, 64.1)),
)
_COCO_1X_ROWS = (
    Published("random", "InfoMin", (32.8, None, None), (29.9, None, None)),
    Published("supervised", "DiLo", (39.7, 59.5, 43.3), (35.9, 56.6, 38.6)),
    Published("InstDis", "InfoMin", (38.8, None, None), (35.2, None, None)),
    Published("PIRL", "InfoMin", (38.6, None, None), (35.1, None, None)),
    Published("MoCo v1", "DiLo", (39.4, 59.1, 42.9), (35.6, 56.2, 38.0)),
    Published("InfoMin", "InfoMin", (40.6, None, None), (36.7, None, None)),
    Published("DiLo-RBD, MoCo v1", "DiLo", (39.8, 59.5, 43.3), (36.0, 56.7, 38.6)),
    Published("DiLo-BASNet, MoCo v1", "DiLo", (40.1, 60.0, 44.0), (36.3, 56.8, 39.0)),
)
_COCO_2X_ROWS = (
    Published("supervised", "InfoMin", (41.6, None, None), (37.6, None, None)),
    Published("MoCo v1", "InfoMin", (41.7, None, None), (37.5, None, None)),
)

_VOC_TRAIN = ("2007 trainval", "2012 trainval")
_COCO: dict[str, Any] = {"data": "coco", "train": ("train2017",), "test": "val2017"}
_FPN = DetectorRecipe(
    kind="fpn",
    masks=True,
    classes=80,
    box_convs=4,
    box_layers=1,
    head_norm=True,
    pre_nms_top_n=(2000, 1000),
    post_nms_top_n=(1000, 1000),
)
_COCO_INPUT = InputRecipe(sides=tuple(range(640, 801, 32)))
_1X = ScheduleRecipe(iterations=90000, milestones=(60000, 80000), warmup=1000)
_2X = ScheduleRecipe(iterations=180000, milestones=(120000, 160000), warmup=1000)


def _fpn(model: DetectorRecipe, schedule: ScheduleRecipe) -> DetectionRecipe:
    """Make a recipe of COCO with a feature pyramid."""
    return DetectionRecipe(model=model, data=_COCO_INPUT, schedule=schedule)


#: By name. Decays after 3/4 and 11/12 of the iterations are inferred where nobody published them.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="voc-24k",
            about="the MoCo repository's: Faster R-CNN R50-C4 with an extra batch norm",
            data="voc",
            train=_VOC_TRAIN,
            test="2007 test",
            recipe=DetectionRecipe(),
            published=_VOC_ROWS,
        ),
        Protocol(
            name="voc-9k",
            about="voc-24k in 9,000 iterations, decays in proportion; nobody published numbers",
            data="voc",
            train=_VOC_TRAIN,
            test="2007 test",
            recipe=DetectionRecipe(
                schedule=ScheduleRecipe(iterations=9000, milestones=(6750, 8250))
            ),
        ),
        Protocol(
            name="voc07-9k",
            about="voc-9k on VOC 2007 alone, which the MoCo paper has besides",
            data="voc",
            train=("2007 trainval",),
            test="2007 test",
            recipe=DetectionRecipe(
                schedule=ScheduleRecipe(iterations=9000, milestones=(6750, 8250))
            ),
        ),
        Protocol(
            name="voc-fast",
            about="ours, for small budgets: backbone frozen up to layer3, VOC 2007, 480 px, 3,000 "
            "iterations",
            data="voc",
            train=("2007 trainval",),
            test="2007 test",
            recipe=DetectionRecipe(
                model=DetectorRecipe(frozen="layer3"),
                data=InputRecipe(sides=(480,), side=480, longest=800),
                schedule=ScheduleRecipe(iterations=3000, milestones=(2250, 2750)),
            ),
            comparable=False,
        ),
        Protocol(
            name="coco-fpn-1x",
            about="PyContrast's, by which the paper's baselines ran: Mask R-CNN R50-FPN, batch "
            "norm in all heads",
            recipe=_fpn(_FPN, _1X),
            published=_COCO_1X_ROWS,
            **_COCO,
        ),
        Protocol(
            name="coco-fpn-2x",
            about="coco-fpn-1x, twice as long",
            recipe=_fpn(_FPN, _2X),
            published=_COCO_2X_ROWS,
            **_COCO,
        ),
        Protocol(
            name="coco-fpn-1x-moco",
            about="the MoCo paper's: Mask R-CNN R50-FPN, batch norm in backbone and pyramid alone",
            recipe=_fpn(dataclasses.replace(_FPN, box_convs=0, box_layers=2, head_norm=False), _1X),
            **_COCO,
        ),
        Protocol(
            name="coco-c4-2x",
            about="the MoCo repository's: Mask R-CNN R50-C4 with an extra batch norm",
            recipe=DetectionRecipe(
                model=DetectorRecipe(masks=True, classes=80), data=_COCO_INPUT, schedule=_2X
            ),
            **_COCO,
        ),
        Protocol(
            name="coco-fast",
            about="ours, for small budgets: coco-fpn-1x, backbone frozen up to layer3, 480 px, "
            "9,000 iterations",
            recipe=DetectionRecipe(
                model=dataclasses.replace(_FPN, frozen="layer3"),
                data=InputRecipe(sides=(480,), side=480, longest=800),
                schedule=ScheduleRecipe(iterations=9000, milestones=(6750, 8250), warmup=1000),
            ),
            comparable=False,
            **_COCO,
        ),
    )
}


def with_overrides(
    protocol: Protocol,
    *,
    arch: str,
    seed: int = 0,
    batch: int | None = None,
    groups: int | None = None,
    iterations: int | None = None,
    side: int | None = None,
    classes: int | None = None,
    values: Mapping[str, Any] | None = None,
) -> DetectionRecipe:
    """Change the recipe of a protocol, and what follows from the change.

    Parameters
    ----------
    protocol : Protocol
        What to change.
    arch : str
        The backbone's.
    seed : int, default 0
        Of everything random.
    batch : int, optional
        Images of a step. The iterations, the milestones and the warm-up grow as it shrinks, and
        the learning rate shrinks with it; groups keep their number of images where they can.
    groups : int, optional
        Groups that a batch is taken in.
    iterations : int, optional
        Steps. The milestones keep their share of them, the warm-up is at most a tenth.
    side : int, optional
        Short side of the test images in pixels; the other sides change in proportion.
    classes : int, optional
        Classes of the data.
    values : mapping, optional
        Values of the recipe that come last, nested as its sections are.

    Returns
    -------
    DetectionRecipe
        The recipe of a run.

    Raises
    ------
    RecipeError
        If no run can be made of the values.

    Examples
    --------
    >>> half = with_overrides(PROTOCOLS["voc-24k"], arch="resnet50", batch=8)
    >>> half.groups, half.schedule.iterations, half.schedule.milestones, half.schedule.warmup
    (4, 48000, (36000, 44000), 200)
    """
    recipe = protocol.recipe
    published, schedule, data = recipe.optimizer.batch, recipe.schedule, recipe.data
    batch = batch or published
    if groups is None:
        groups = batch // recipe.per_group if batch % recipe.per_group == 0 else 1
    schedule = _scaled(schedule, published / batch, round(schedule.warmup * published / batch))
    if iterations is not None:
        warmup = min(schedule.warmup, iterations // 10)
        schedule = _scaled(schedule, iterations / schedule.iterations, warmup)
    if side is not None:
        ratio = side / data.side
        data = InputRecipe(
            sides=tuple(round(each * ratio) for each in data.sides),
            side=side,
            longest=round(data.longest * ratio),
        )
    model = dataclasses.replace(recipe.model, arch=arch, classes=classes or recipe.model.classes)
    changed = DetectionRecipe(
        seed=seed,
        groups=groups,
        precise_norm=recipe.precise_norm,
        model=model,
        data=data,
        optimizer=dataclasses.replace(recipe.optimizer, batch=batch),
        schedule=schedule,
    )
    return detection_recipe(merged(changed.plain(), values or {}), f"protocol {protocol.name}")


def _scaled(schedule: ScheduleRecipe, ratio: float, warmup: int) -> ScheduleRecipe:
    """Stretch a schedule, and give it a warm-up."""
    return ScheduleRecipe(
        iterations=round(schedule.iterations * ratio),
        milestones=tuple(round(step * ratio) for step in schedule.milestones),
        warmup=warmup,
    )


def deviations(protocol: Protocol, recipe: DetectionRecipe) -> list[str]:
    """Say what of a recipe is not the protocol's, as "schedule.iterations 5 instead of 24000"."""
    used, published = (flat(each.plain()) for each in (recipe, protocol.recipe))
    return [
        f"{name} {_words(used[name])} instead of {_words(published[name])}"
        for name in used
        if name != "seed" and used[name] != published[name]
    ]


def describe(protocol: Protocol, recipe: DetectionRecipe) -> str:
    """Say in a line what is trained."""
    model, schedule = recipe.model, recipe.schedule
    kind = model.kind.upper() + (" with masks" if model.masks else "")
    falls = f", times 0.1 from {_words(schedule.milestones)}" if schedule.milestones else ""
    return (
        f"{protocol.name}: {model.arch} {kind}, "
        f"{schedule.iterations} iterations{falls}, batch {recipe.optimizer.batch} in "
        f"{recipe.groups} {'group' if recipe.groups == 1 else 'groups'}"
    )


def _words(value: object) -> str:
    """Write a value, or several."""
    if isinstance(value, tuple | list) and len(value) > _SHOWN:
        return f"{_words(value[0])} to {_words(value[-1])} ({len(value)} values)"
    if isinstance(value, tuple | list):
        return ", ".join(map(_words, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
