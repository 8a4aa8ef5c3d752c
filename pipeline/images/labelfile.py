"""Classes of images that stand in a file, where no folders name them."""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.pipeline.common.textfiles import read_lines
from dilo.pipeline.errors import DiloError, require_access
from dilo.pipeline.images.names import Names, escaped

#: What numbers the images of ImageNet's validation and test parts, at the end of their names.
_NUMBER = re.compile(r"_(\d{8})$")
#: A class before the corners of its boxes, as in LOC_val_solution.csv.
_BEFORE_BOXES = re.compile(r"(\S+)(?: -?\d+){4}(?: .*)?")
#: In the folder of ILSVRC2012_validation_ground_truth.txt: which synset a number is.
META = "meta.mat"


@dataclass(frozen=True)
class LabelFile:
    """What a file says about the classes of images."""

    path: Path
    #: Class by the name that the file has for an image: a path or a file name, perhaps without
    #: its extension.
    by_name: dict[str, str]
    #: Classes of the images by the number at the end of their names, counted from 1.
    by_number: Sequence[str] = ()

    def class_of(self, name: str) -> str | None:
        """Find the class of an image; None if the file does not have it."""
        file = name.rpartition("/")[2]
        if self.by_number:
            match = _NUMBER.search(file.partition(".")[0])
            number = int(match[1]) if match else 0
            return self.by_number[number - 1] if 1 <= number <= len(self.by_number) else None
        for key in (name, os.path.splitext(name)[0], file, os.path.splitext(file)[0]):
            if (label := self.by_name.get(key)) is not None:
                return label
        return None


def read_labels(path: Path) -> LabelFile:
    """Read classes: lines of name and class, or of classes alone in the order of their images.

    Between a name and its class is a comma, a tab or a blank. Lines of classes alone belong to the
    images whose names end in their numbers, as ILSVRC2012_val_00000001 does.
    """
    try:
        lines = [os.fsdecode(line).strip() for line in read_lines(path)]
    except OSError as error:
        require_access(error, path)
        raise DiloError(f"--labels {path} must be a file of classes: {error.strerror}") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not numbered:
        raise DiloError(f"--labels must name classes, a line for each image, got {path}: empty")
    if all(len(_fields(line)) == 1 for _, line in numbered):
        _require_no_gap(path, numbered)
        labels = [line for _, line in numbered]
        return LabelFile(path, {}, _synsets(path, labels) if _are_numbers(labels) else labels)
    by_name: dict[str, str] = {}
    for number, line in numbered:
        fields = _fields(line)
        if len(fields) < 2 or not fields[1].strip():
            raise DiloError(
                f"{path}, line {number}: must be a name and a class, got {escaped(line[:200])}"
            )
        name, label = fields[0].strip().removeprefix("./"), fields[1].strip()
        boxes = _BEFORE_BOXES.fullmatch(label)
        label = boxes[1] if boxes else label
        if by_name.setdefault(name, label) != label:
            raise DiloError(
                f"{path}, line {number}: an image must have one class, got {escaped(label)} for "
                f"{escaped(name)}, and {escaped(by_name[name])} before"
            )
    return LabelFile(path, by_name)


def _require_no_gap(path: Path, numbered: Sequence[tuple[int, str]]) -> None:
    """Refuse an empty line between classes: those behind it would be of other images."""
    for place, (number, _) in enumerate(numbered, 1):
        if number != place:
            raise DiloError(
                f"--labels {path}, line {place}: must be the class of image {place}, got an empty "
                "line: remove it if it stands for no image, or write the class"
            )


def _fields(line: str) -> list[str]:
    """Split a line into a name, a class and perhaps more."""
    if "\t" in line:
        return line.split("\t")
    if "," in line:
        return next(csv.reader([line]))
    return line.rsplit(None, 1)


def _are_numbers(labels: Sequence[str]) -> bool:
    """Check whether all classes are numbers, as in ILSVRC2012_validation_ground_truth.txt."""
    return all(label.isascii() and label.isdecimal() for label in labels)


def _synsets(path: Path, numbers: Sequence[str]) -> list[str]:
    """Find the synsets of ImageNet that numbers stand for, which the file beside it says."""
    meta = path.with_name(META)
    if not meta.exists():
        raise DiloError(
            f"--labels {path} has numbers of ImageNet's development kit, and {META} of that kit "
            f"must lie beside it, which says what they are, got no {meta}: copy it there"
        )
    from scipy.io import loadmat

    try:
        synsets: Any = loadmat(meta, squeeze_me=True)["synsets"]
        names = {
            int(number): str(name)
            for number, name in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
        }
        return [names[int(number)] for number in numbers]
    except KeyError as error:
        raise DiloError(
            f"{meta} must say what each number of {path} is, got none for {error}: take both files "
            "from the same development kit"
        ) from error
    # Of a damaged file, scipy raises whatever its first broken part is read as.
    except Exception as error:
        require_access(error, meta)
        raise DiloError(f"{meta} must be that of the development kit, got: {error}") from error


def classes_by_files(files: Sequence[Path], names: Names, where: str) -> list[str] | None:
    """Find the class of each image in files; None if they have none of them, but folders have.

    `where` is what the images are, for messages.
    """
    tables = [read_labels(file) for file in files]
    if not tables:
        return None
    labels = [next(filter(None, (t.class_of(name) for t in tables)), "") for name in names]
    missing = [name for name, label in zip(names, labels, strict=True) if not label]
    if not missing:
        return labels
    option = " ".join(f"--labels {file}" for file in files)
    if len(missing) < len(labels):
        raise DiloError(
            f"{option} must have the class of each image of {where}, got none for {len(missing)} "
            f"of {len(labels)}, such as {escaped(missing[0])}: add them, or leave these images out"
        )
    if all("/" in name for name in names):
        return None
    if example := next(iter(tables[0].by_name), ""):
        content = escaped(example)
    else:
        content = (
            "classes alone, of images with a number at the end of their name (a name and a class "
            "are separated by a blank, a tab or a comma)"
        )
    raise DiloError(
        f"{option} must have the classes of the images of {where}, got none of them: it has "
        f"{content}, and they are named like {escaped(names[0])}"
    )
