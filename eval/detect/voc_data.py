"""PASCAL VOC in its official folders."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dilo.eval.common.inputs import THREADS
from dilo.eval.common.voc import VocObject, object_line, parse_voc
from dilo.eval.detect.annotations import Annotated, DetectionSet, digest_of, require_count
from dilo.pipeline.common.textfiles import read_bytes, read_text
from dilo.pipeline.errors import DiloError, first_few, near
from dilo.pipeline.images.names import escaped

#: In the order of their labels.
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
#: Images of the official lists that protocols name.
COUNTS = {(2007, "trainval"): 5011, (2007, "test"): 4952, (2012, "trainval"): 11540}
_FOLDERS = ("Annotations", "ImageSets/Main", "JPEGImages")


def read_voc(root: Path, year: int, split: str, *, subset: bool = False) -> DetectionSet:
    """Read one list of one year.

    Parameters
    ----------
    root : Path
        The folder that holds VOC2007 and VOC2012, mostly named VOCdevkit; or what holds that.
    year : int
        2007 or 2012.
    split : str
        The list: train, val, trainval or test.
    subset : bool, default False
        Whether the list may be shorter than the official one.

    Returns
    -------
    DetectionSet
        Of 2007 to be scored by 11 points, else by the area; boxes by detectron2's reading: 1 is
        taken from xmin and ymin, and nothing from xmax and ymax.

    Raises
    ------
    DiloError
        If a folder or file is missing or wrong: the sentence names it, with its line.
    """
    folder = find_voc(root, year)
    list_file = folder / "ImageSets" / "Main" / f"{split}.txt"
    ids = _read_ids(list_file)
    require_count(COUNTS.get((year, split)), len(ids), str(list_file), subset=subset)
    _require_files(folder, ids, list_file)
    files = [folder / "Annotations" / f"{name}.xml" for name in ids]
    with ThreadPoolExecutor(THREADS) as pool:  # of a network's disk each answer takes a while
        images = tuple(pool.map(_read_image, files))
    names = [f"JPEGImages/{name}.jpg" for name in ids]
    return DetectionSet(
        images=images,
        classes=VOC_CLASSES,
        category_ids=tuple(range(1, len(VOC_CLASSES) + 1)),
        name=f"voc_{year}_{split}",
        source=folder,
        digest=digest_of(folder, names, images),
        rule="11 points" if year == 2007 else "area",
    )


def find_voc(root: Path, year: int) -> Path:
    """Find the folder of a year, and refuse one that lacks a part."""
    name = f"VOC{year}"
    places = (root / name, root / "VOCdevkit" / name, root)
    place = next((path for path in places[:2] if path.is_dir()), root)
    if place == root and root.resolve().name != name:
        entries = sorted(escaped(path.name) for path in root.iterdir()) if root.is_dir() else []
        raise DiloError(
            f"--voc {root} must hold {name}, or VOCdevkit/{name}, got "
            f"{first_few(entries) or 'nothing'}: unpack VOC's archives there"
        )
    if missing := [part for part in _FOLDERS if not (place / part).is_dir()]:
        raise DiloError(
            f"{place} must hold {', '.join(_FOLDERS)}, got no {' and no '.join(missing)}: unpack "
            "VOC's archives again, and keep their folders"
        )
    return place


def _read_ids(list_file: Path) -> list[str]:
    """Read a list of images, one id a line."""
    if not list_file.is_file():
        lists = sorted(path.stem for path in list_file.parent.glob("*.txt") if "_" not in path.stem)
        raise DiloError(
            f"{list_file} must be a list of images, got no such file, but "
            f"{first_few(lists) or 'no list'}"
            + (": unpack the archive of the test set" if list_file.stem == "test" else "")
        )
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(list_file).splitlines(), 1):
        if not (words := line.split()):
            continue
        name = words[0]
        where = f"{list_file}, line {number}"
        if len(words) > 1 or "/" in name or name.startswith("."):
            raise DiloError(
                f"{where}: must be the id of one image, such as 000005, got {line.strip()[:100]!r}"
            )
        if name in lines:
            raise DiloError(
                f"{where}: an image must be listed once, got {name}, also in line {lines[name]}"
            )
        lines[name] = number
    if not lines:
        raise DiloError(f"{list_file} must list images, one id a line, got none")
    return list(lines)


def _require_files(folder: Path, ids: Sequence[str], list_file: Path) -> None:
    """Refuse a list that names what is not there."""
    for part, suffix, other in (
        ("JPEGImages", ".jpg", "Annotations/{}.xml needs its image"),
        ("Annotations", ".xml", "JPEGImages/{}.jpg needs its annotation"),
    ):
        files = {path.name for path in (folder / part).iterdir()}
        missing = [name for name in ids if f"{name}{suffix}" not in files]
        if missing:
            line = _line_of(list_file, missing[0])
            raise DiloError(
                f"{folder}/{other.format(missing[0])}, {part}/{missing[0]}{suffix}, which is not "
                f"there ({list_file}, line {line}; so are {len(missing)} of {len(ids)} in all): "
                "unpack VOC's archives again"
            )


def _line_of(list_file: Path, name: str) -> int:
    """Find the line of a list that names an image."""
    lines = read_text(list_file).splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.split() == [name])


def _read_image(file: Path) -> Annotated:
    """Read the annotations of an image."""
    content = read_bytes(file)
    try:
        read = parse_voc(content)
    except ValueError as error:
        raise DiloError(f"{file} must be an annotation of PASCAL VOC, got: {error}") from error
    if read.size is None or any(side % 1 for side in read.size):
        raise DiloError(
            f"{file} must tell the image's size, whole numbers above 0 in size/width and "
            f"size/height, got {read.size}: take VOC's own file"
        )
    width, height = map(int, read.size)
    boxes = np.empty((len(read.objects), 4))
    for number, one in enumerate(read.objects):
        if reason := _fault(one, width, height):
            raise DiloError(f"{file}, line {object_line(content, number)}: {reason}")
        boxes[number] = one.box or ()
    return Annotated(
        path=file.parents[1] / "JPEGImages" / f"{file.stem}.jpg",
        image_id=file.stem,
        height=height,
        width=width,
        boxes=(boxes - (1, 1, 0, 0)).astype(np.float32),
        labels=np.array([VOC_CLASSES.index(one.name) for one in read.objects], np.int64),
        difficult=np.array([one.difficult for one in read.objects], bool),
        crowd=np.zeros(len(read.objects), bool),
    )


def _fault(one: VocObject, width: int, height: int) -> str:
    """Say what is wrong with an object; nothing where nothing is."""
    if one.name not in VOC_CLASSES:
        return (
            f"an object must be of one of VOC's {len(VOC_CLASSES)} classes, got "
            f"{one.name[:100]!r}{near(one.name, VOC_CLASSES)}"
        )
    if one.box is None:
        return "an object must have its box, bndbox, got none"
    # One pixel of grace, for sets of others that count from 0.
    if one.box[2] > width + 1 or one.box[3] > height + 1:
        return (
            f"a box must lie in its image of {width} x {height} px, got xmin, ymin, xmax, ymax "
            f"{', '.join(f'{side:g}' for side in one.box)}: is the annotation of another image?"
        )
    return ""
