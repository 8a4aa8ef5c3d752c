"""The pictures of the proof: foregrounds of photographs on backgrounds of other classes."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from programs import call

from dilo.eval.backgrounds.variations import crop_both
from dilo.eval.common.results import write_image
from dilo.eval.features.folders import LabelledFolder, labelled_folder
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.common.files import write_text
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.pipeline.images.sheets import Picture, sheet
from dilo.pipeline.store import MaskStore
from dilo.train.augment.backgrounds import square_crop
from dilo.train.augment.paste import paste

#: Share of the training pictures that stand on the background of their class's partner.
LIES = 0.95
#: Backgrounds of a class. So few, cut from photographs of the class, tell it well: each lies again
#: and again, as the water behind water birds does.
BACKGROUNDS = 8
#: Side of a composed picture, in pixels.
SIDE = 96
#: A photograph serves if its mask is an object: if it covers such a share of the photograph, and
#: agrees this well with the mask of another method (intersection over union).
COVERAGE, AGREEMENT = (0.05, 0.6), 0.6
#: How the masks of the photographs are made, and those that they must agree with.
MASKS, OTHER_MASKS = ("--method", "consensus", "--refine", "grabcut"), ("--method", "rbd")
#: How the masks of the lying pictures are made, which training pastes by.
NEW_MASKS = ("--method", "consensus", "--refine", "grabcut")
#: Shortest side in pixels of a background cut from a photograph, and from a lying picture.
WINDOW, NEW_WINDOW = 48, 32
#: Classes in the picture of what was composed.
SHOWN = 5


class Composed(NamedTuple):
    """A picture: a foreground on a background."""

    #: Its path below the folder of all pictures, CLASS/NAME.
    path: str
    #: The photograph that its foreground is of, and the one that its background is of.
    foreground: str
    background: str

    def label(self, of: str) -> str:
        """Return the class of its "object" or of its "background"."""
        return class_of(self.foreground if of == "object" else self.background)


def class_of(path: str) -> str:
    """Return the class folder of a path."""
    return path.partition("/")[0]


def require_classes(images: Path, test: Path) -> tuple[str, ...]:
    """Refuse folders of which no experiment can be made, in words."""
    folders = [labelled_folder(folder) for folder in (images, test)]
    classes, others = (folder.classes for folder in folders)
    if classes != others:
        raise DiloError(
            f"{images} and {test} must hold the same class folders, got {len(classes)} and "
            f"{len(others)}: {', '.join(sorted(set(classes) ^ set(others))[:5])} in one alone"
        )
    if len(classes) < 3:
        raise DiloError(
            f"{images} must hold at least 3 class folders, for backgrounds of a random other "
            f"class, got {len(classes)}: give a folder of more classes"
        )
    return classes


class Photographs(NamedTuple):
    """The photographs of a folder, cut in foregrounds and backgrounds."""

    folder: LabelledFolder
    masks: MaskStore
    backgrounds: BackgroundStore
    #: Paths of those whose mask is an object.
    objects: list[str]


def photographs(images: Path, out: Path, least: int) -> Photographs:
    """Make masks and backgrounds of photographs, and choose those that show an object."""
    masks, other, backgrounds = (out / name for name in ("masks", "other-masks", "backgrounds"))
    call("dilo-prep", "masks", "--images", images, *MASKS, "--out", masks)
    call("dilo-prep", "masks", "--images", images, *OTHER_MASKS, "--out", other)
    call(
        *("dilo-prep", "backgrounds", "--images", images, "--masks", masks),
        *("--min-side", WINDOW, "--out", backgrounds),
    )
    folder = labelled_folder(images)
    store = MaskStore(masks)
    objects = choose_objects(store, MaskStore(other))
    lenders = [class_of(store_source) for store_source in sources(BackgroundStore(backgrounds))]
    for name in folder.classes:
        for what, count in (
            ("objects", sum(class_of(path) == name for path in objects)),
            ("backgrounds", lenders.count(name)),
        ):
            if count < least:
                raise DiloError(
                    f"{images / name} must give at least {least} {what}, got {count}: give more "
                    "photographs, or leave the class out"
                )
    return Photographs(folder, store, BackgroundStore(backgrounds), objects)


def sources(store: BackgroundStore) -> list[str]:
    """List the photographs that the backgrounds of a store were cut from."""
    return [store.source(row) for row in range(len(store))]


def choose_objects(masks: MaskStore, other: MaskStore) -> list[str]:
    """Choose photographs whose mask is an object: neither tiny nor all, and two methods agree."""
    objects = []
    for path, mask in masks.items():
        first, second = mask > 127, other[path] > 127
        union = (first | second).sum()
        agreement = (first & second).sum() / union if union else 0
        if COVERAGE[0] <= first.mean() <= COVERAGE[1] and agreement >= AGREEMENT:
            objects.append(path)
    return objects


def pair_classes(classes: Sequence[str]) -> dict[str, str]:
    """Give each class another one, whose backgrounds lie for it; no class has two."""
    order = np.random.default_rng(0).permutation(len(classes)).tolist()
    return {classes[a]: classes[b] for a, b in zip(order, order[1:] + order[:1], strict=True)}


def lying(partners: Mapping[str, str], rng: np.random.Generator, label: str) -> str:
    """Draw the class of a background that lies: the partner's, or now and then another."""
    if rng.random() < LIES:
        return partners[label]
    return str(rng.choice([name for name in partners if name not in (label, partners[label])]))


def fair(partners: Mapping[str, str], rng: np.random.Generator, label: str) -> str:
    """Draw the class of a background that tells nothing: any but the object's own."""
    return str(rng.choice([name for name in partners if name != label]))


def compose_all(
    training: Photographs, testing: Photographs, partners: Mapping[str, str], out: Path
) -> dict[str, list[Composed]]:
    """Compose the pictures to train on, those that a fair read-out learns from, those to ask."""
    lenders = choose_backgrounds(training.backgrounds)
    kinds = {"lying": (training, lying), "fair": (training, fair), "test": (testing, fair)}
    pictures = {}
    for number, (kind, (source, draw)) in enumerate(kinds.items()):
        rng = np.random.default_rng(number)
        record = out / "pictures" / f"{kind}.json"
        if not record.exists():
            behind = Behind(training.backgrounds, lenders, partial(draw, partners, rng))
            composed = compose(source, behind, out / "pictures" / kind, rng)
            write_text(record, json.dumps(composed))
        pictures[kind] = [Composed(*row) for row in json.loads(record.read_text())]
    return pictures


def choose_backgrounds(store: BackgroundStore) -> dict[str, list[int]]:
    """Choose the backgrounds of each class, evenly spaced among all: their rows in the store."""
    rows: dict[str, list[int]] = {}
    for row, path in enumerate(sources(store)):
        rows.setdefault(class_of(path), []).append(row)
    return {
        name: [lent[len(lent) * place // BACKGROUNDS] for place in range(BACKGROUNDS)]
        for name, lent in rows.items()
    }


class Behind(NamedTuple):
    """What objects are set on."""

    backgrounds: BackgroundStore
    #: Rows of the backgrounds of each class.
    lenders: Mapping[str, list[int]]
    #: From the class of an object to that of its background.
    draw: Callable[[str], str]


def compose(
    source: Photographs, behind: Behind, folder: Path, rng: np.random.Generator
) -> list[Composed]:
    """Set each object on a background of a class that is drawn, and save the pictures."""
    composed = []
    for path in source.objects:
        row = int(rng.choice(behind.lenders[behind.draw(class_of(path))]))
        square = square_crop(behind.backgrounds[row], rng.random(), SIDE)
        background = torch.from_numpy(square).permute(2, 0, 1)
        photograph = decode(source.folder.root / path)
        image, alpha = crop_both(photograph, source.masks[path], SIDE)
        pixels = paste(image[None] / 255, alpha[None] / 255, background[None] / 255)[0]
        picture = Path(path).with_suffix(".png")
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        array = (255 * pixels).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(folder / picture)
        composed.append(Composed(picture.as_posix(), path, behind.backgrounds.source(row)))
    return composed


def prepare_training(out: Path) -> None:
    """Make masks of the lying pictures, and cut backgrounds out of them, as of any images."""
    images, masks, backgrounds = (out / name for name in ("pictures/lying", "masks", "backgrounds"))
    call("dilo-prep", "masks", "--images", images, *NEW_MASKS, "--out", masks)
    call(
        *("dilo-prep", "backgrounds", "--images", images, "--masks", masks),
        *("--min-side", NEW_WINDOW, "--out", backgrounds),
    )


def training_data(out: Path) -> tuple[object, ...]:
    """Name what is trained on."""
    return (
        *("--images", out / "pictures" / "lying", "--masks", out / "masks"),
        *("--backgrounds", out / "backgrounds"),
    )


def draw_pictures(
    training: Photographs, testing: Photographs, pictures: Mapping[str, list[Composed]], out: Path
) -> None:
    """Draw a row a class: a photograph, what was composed of it, and the new mask; then others."""
    masks = MaskStore(out / "masks")
    rows = []
    for name in training.folder.classes[:SHOWN]:
        lying, fair, test = (
            [one for one in pictures[kind] if one.label("object") == name]
            for kind in ("lying", "fair", "test")
        )
        first = lying[0]
        rows.append(
            [
                Picture(decode(training.folder.root / first.foreground), name),
                Picture(training.masks[first.foreground], "its mask"),
                *(shown(out, "lying", one) for one in lying[:1]),
                Picture(masks[first.path], "mask from it"),
                *(shown(out, "lying", one) for one in lying[1:3]),
                *(shown(out, "fair", one) for one in fair[:2]),
                *(shown(out, "test", one) for one in test[:2]),
            ]
        )
    titles = ["photograph", "", "to train on", "", "", "", "fair", "", "to ask about", ""]
    write_image(out / "composed.png", sheet(rows, column_titles=titles))


def shown(out: Path, kind: str, one: Composed) -> Picture:
    """Show a composed picture with the class of its background."""
    return Picture(decode(out / "pictures" / kind / one.path), f"on {one.label('background')}")
