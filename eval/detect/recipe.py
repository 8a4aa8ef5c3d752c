"""What there is to decide about the training of a detector, as plain values."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from dilo.train.recipes.recipe import OptimizerRecipe, optimizer_rules
from dilo.train.recipes.schema import Rule, check_rules, from_plain

#: What no machine that exists could train with: a value beyond is a slip.
_MOST_ITERATIONS, _MOST_PIXELS, _MOST_BOXES = 10**7, 2**14, 10**6


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """The network behind the boxes."""

    #: The backbone, by torchvision's name.
    arch: str = "resnet50"
    #: "c4": Faster R-CNN on layer3, with layer4 as the head of each box; "fpn": a feature pyramid.
    kind: Literal["c4", "fpn"] = "c4"
    #: Whether it also finds the mask of each object.
    masks: bool = False
    #: Classes, without the background.
    classes: int = 20
    #: For "fpn": convolutions in the box head, before its fully connected layers.
    box_convs: int = 0
    #: For "fpn": fully connected layers in the box head.
    box_layers: int = 2
    #: For "fpn": whether the box head and the mask head have batch norm, as the pyramid has.
    head_norm: bool = False
    #: Last layer of the backbone that stays as it was pretrained, in eval mode; "" trains all.
    frozen: Literal["", "layer1", "layer2", "layer3", "layer4"] = ""
    #: Anchors of an image whose objectness is learnt.
    anchors: int = 256
    #: Boxes of an image whose class is learnt.
    rois: int = 512
    #: Best anchors of an image, or of a level of the pyramid, that are taken: in training, in
    #: evaluation; and how many of them are proposed when those that overlap are left out.
    pre_nms_top_n: tuple[int, int] = (12000, 6000)
    post_nms_top_n: tuple[int, int] = (2000, 1000)


@dataclass(frozen=True, kw_only=True)
class InputRecipe:
    """How an image is resized; every second one is mirrored in training."""

    #: Short sides that training draws from, in pixels.
    sides: tuple[int, ...] = tuple(range(480, 801, 32))
    #: Short side in evaluation, in pixels.
    side: int = 800
    #: The long side is never longer, in pixels.
    longest: int = 1333


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """The iterations and the learning rate over them."""

    #: Steps of the optimiser.
    iterations: int = 24000
    #: Iterations, counted from 0, from which the rate is a tenth of what it was.
    milestones: tuple[int, ...] = (18000, 22000)
    #: Iterations over which the rate rises from a thousandth.
    warmup: int = 100


def _optimizer() -> OptimizerRecipe:
    """Make the optimiser of all protocols, which knows no epochs."""
    return OptimizerRecipe(
        epochs=1, batch=16, lr=0.02, lr_batch=16, schedule="constant", milestones=(), by="step"
    )


@dataclass(frozen=True, kw_only=True)
class DetectionRecipe:
    """Everything that decides the training of a detector, but backbone, images and machine.

    The defaults are those of the MoCo repository for VOC.
    """

    #: Seed of the new layers and of everything random.
    seed: int = 0
    #: In how many groups a batch is taken, each padded by itself; batch norm gives their statistics
    #: equal weight. As many GPUs would do the same.
    groups: int = 8
    #: Training batches by which the statistics of batch norm are measured at the end; 0 for none.
    precise_norm: int = 200
    model: DetectorRecipe = field(default_factory=DetectorRecipe)
    data: InputRecipe = field(default_factory=InputRecipe)
    optimizer: OptimizerRecipe = field(default_factory=_optimizer)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)

    def plain(self) -> dict[str, Any]:
        """Convert it to plain values, as JSON has them."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    @property
    def per_group(self) -> int:
        """Count the images of a group."""
        return self.optimizer.batch // self.groups


def detection_recipe(values: Mapping[str, Any], source: str) -> DetectionRecipe:
    """Make a recipe of plain values, or refuse them; `source` says where they come from."""
    recipe = from_plain(DetectionRecipe, values, source)
    check_rules([*_network_rules(recipe), *_training_rules(recipe)], source)
    return recipe


def _network_rules(recipe: DetectionRecipe) -> list[Rule]:
    """Return each rule of network and input, whether it holds, and the value."""
    model, data = recipe.model, recipe.data
    counts = {name: getattr(model, name) for name in ("classes", "box_layers", "anchors", "rois")}
    boxes = (*model.pre_nms_top_n, *model.post_nms_top_n)
    sides = (*data.sides, data.side)
    return [
        *(
            (f"model.{name} must be at least 1", count >= 1, count)
            for name, count in counts.items()
        ),
        ("model.box_convs must be at least 0", model.box_convs >= 0, model.box_convs),
        (
            "model.pre_nms_top_n and post_nms_top_n must be two numbers each, from 1 to a million",
            len(boxes) == 4 and all(1 <= count <= _MOST_BOXES for count in boxes),
            boxes,
        ),
        (
            'model.frozen must leave layer4 to train where model.kind is "c4"',
            (model.kind, model.frozen) != ("c4", "layer4"),
            model.frozen,
        ),
        ("data.sides must hold a side", bool(data.sides), data.sides),
        (
            f"data.sides and side must be from 16 to data.longest, {data.longest}",
            all(16 <= side <= data.longest for side in sides),
            sides,
        ),
        (
            f"data.longest must be at most {_MOST_PIXELS}",
            data.longest <= _MOST_PIXELS,
            data.longest,
        ),
    ]


def _training_rules(recipe: DetectionRecipe) -> list[Rule]:
    """Return each rule of batch and schedule, whether it holds, and the value."""
    schedule, optimizer = recipe.schedule, recipe.optimizer
    steps = (schedule.warmup, *schedule.milestones, schedule.iterations)
    return [
        ("seed must be in [0, 2**63)", 0 <= recipe.seed < 2**63, recipe.seed),
        ("groups must be at least 1", recipe.groups >= 1, recipe.groups),
        (
            f"groups must divide optimizer.batch, {optimizer.batch}",
            optimizer.batch % max(1, recipe.groups) == 0,
            recipe.groups,
        ),
        ("precise_norm must be at least 0", recipe.precise_norm >= 0, recipe.precise_norm),
        ('optimizer.name must be "sgd"', optimizer.name == "sgd", optimizer.name),
        (
            "optimizer.epochs, warmup and milestones must stay 1, 0 and none: see schedule",
            (optimizer.epochs, optimizer.warmup, optimizer.milestones) == (1, 0.0, ()),
            (optimizer.epochs, optimizer.warmup, optimizer.milestones),
        ),
        (
            'optimizer.schedule and by must stay "constant" and "step": see schedule',
            (optimizer.schedule, optimizer.by) == ("constant", "step"),
            (optimizer.schedule, optimizer.by),
        ),
        *optimizer_rules(optimizer, least=1),
        (
            "schedule.warmup, milestones and iterations must rise from 0",
            all(low <= high for low, high in zip((0, *steps), steps, strict=False)),
            steps,
        ),
        (
            f"schedule.iterations must be from 1 to {_MOST_ITERATIONS}",
            1 <= schedule.iterations <= _MOST_ITERATIONS,
            schedule.iterations,
        ),
    ]


def learning_rate(schedule: ScheduleRecipe, base: float, iteration: int) -> float:
    """Return the learning rate of an iteration, counted from 0.

    Parameters
    ----------
    schedule : ScheduleRecipe
        Warm-up and milestones.
    base : float
        The rate after the warm-up.
    iteration : int
        Iterations before this one.

    Returns
    -------
    float
        The rate.

    Examples
    --------
    >>> schedule = ScheduleRecipe()
    >>> [round(learning_rate(schedule, 0.02, i), 6) for i in (0, 50, 100, 17999, 18000, 22000)]
    [2e-05, 0.01001, 0.02, 0.02, 0.002, 0.0002]
    """
    rate = base * math.prod(0.1 for milestone in schedule.milestones if milestone <= iteration)
    if iteration >= schedule.warmup:
        return rate
    share = iteration / schedule.warmup
    return rate * (0.001 * (1 - share) + share)
