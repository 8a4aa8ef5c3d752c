"""CIFAR-10, CIFAR-100 and STL-10 in the binary files of their authors.

These formats are documented by their authors, and plain: bytes of labels and of pixels. torchvision
reads the same sets, but it needs torch, and it reads CIFAR from pickles, which may run any code.
"""

import functools
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.errors import DiloError, ImageError, require_access
from dilo.pipeline.images.listing import matching
from dilo.pipeline.images.names import Names, folder_names
from dilo.pipeline.images.source import ImageSource


@dataclass(frozen=True)
class _Format:
    """How a set is kept."""

    #: What the set is called.
    title: str
    #: Files of pixels of each split.
    splits: dict[str, tuple[str, ...]]
    #: The names of the classes, one a line.
    classes: str
    #: Height and width, in pixels.
    side: int
    #: Labels before the pixels of an image; the last one counts.
    labels: int = 0
    #: Files of labels of each split, which count from 1.
    label_files: dict[str, str] | None = None
    #: Whether columns of pixels come first, not rows.
    transposed: bool = False
    #: A file of the set in pickles, which are not read; the binary files have another folder.
    pickle: str = ""


_FORMATS = (
    _Format(
        "CIFAR-10",
        {
            "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        "batches.meta.txt",
        32,
        labels=1,
        pickle="data_batch_1",
    ),
    _Format(
        "CIFAR-100",
        {"train": ("train.bin",), "test": ("test.bin",)},
        "fine_label_names.txt",
        32,
        labels=2,
        pickle="meta",
    ),
    _Format(
        "STL-10",
        {"train": ("train_X.bin",), "test": ("test_X.bin",), "unlabeled": ("unlabeled_X.bin",)},
        "class_names.txt",
        96,
        label_files={"train": "train_y.bin", "test": "test_y.bin"},
        transposed=True,
    ),
)


@dataclass(frozen=True)
class BinarySet:
    """A split of a set, or the whole folder, of which a split is still to be named."""

    #: The folder.
    folder: Path
    #: What the set is called.
    title: str
    #: The split; empty for the whole folder.
    split: str = ""
    #: Whether it is in pickles.
    pickled: bool = False


def find_binary_set(path: Path) -> BinarySet | None:
    """Recognize a folder of such a set, or a split in one, such as stl10_binary/train."""
    for folder, split in ((path, ""), (path.parent, path.name)):
        for layout in _FORMATS:
            if split and split not in layout.splits:
                continue
            if (folder / layout.classes).is_file() and any(
                (folder / files[0]).is_file() for files in layout.splits.values()
            ):
                return BinarySet(folder, layout.title, split)
            if _is_pickled(folder, layout):
                return BinarySet(folder, layout.title, split, pickled=True)
    return None


def _is_pickled(folder: Path, layout: _Format) -> bool:
    """Check whether a folder has the pickles of a set."""
    name = f"{layout.title.lower()}-{'batches-py' if layout.labels == 1 else 'python'}"
    return bool(layout.pickle) and folder.name == name and (folder / layout.pickle).is_file()


class BinarySource(ImageSource):
    """A split of CIFAR-10, CIFAR-100 or STL-10; each image becomes a PNG of its pixels.

    Parameters
    ----------
    path : Path
        What the user named.
    binary : BinarySet
        What it is.
    """

    def __init__(self, path: Path, binary: BinarySet) -> None:
        super().__init__(path)
        layout = next(layout for layout in _FORMATS if layout.title == binary.title)
        if binary.pickled:
            raise DiloError(
                f"--images must be the binary version of {layout.title}, for pickles may run any "
                f"code, got the Python version in {binary.folder}: download the binary version, "
                f"{layout.title.lower()}-binary.tar.gz, from the same page, and unpack it"
            )
        if not binary.split:
            splits = " or ".join(str(binary.folder / split) for split in layout.splits)
            raise DiloError(
                f"--images must be a split of {layout.title}, got {path}: give {splits}"
            )
        self._binary = binary

    def absolute(self) -> Self:
        """Return it for a process in another folder."""
        binary = BinarySet(self._binary.folder.absolute(), self._binary.title, self._binary.split)
        return type(self)(self.path.absolute(), binary)

    def find(
        self,
        include: Iterable[str] = (),
        *,
        on_progress: Callable[[int], object] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Names:
        """List the images, sorted as those of a folder."""
        return matching(_split(self._binary).names, list(include), f"in {self.path}")

    def read(self, name: str) -> bytes:
        """Write the pixels of an image as a PNG."""
        if not self.has(name):
            raise ImageError("there is no such image")
        png = io.BytesIO()
        row = int(name.rpartition("/")[2].partition(".")[0])
        Image.fromarray(_split(self._binary).pixels(row)).save(png, "PNG")
        return png.getvalue()

    def size(self, name: str) -> int:
        """Return the bytes of an image's PNG; -1 if there is none."""
        return len(self.read(name)) if self.has(name) else -1

    def has(self, name: str) -> bool:
        """Check whether there is an image by a name."""
        return name in _split(self._binary).names

    def may_differ(self, name: str, size: int, since: float) -> bool:
        """Check whether the files of the set were written since."""
        if (error := self.open_error(name)) is not None:
            raise error
        return any(file.stat().st_mtime > since for file in _split(self._binary).files)


@dataclass(frozen=True, eq=False)
class _Split:
    """A split of a set that is open."""

    #: Its images, by class and number.
    names: Names
    #: Files of the pixels.
    files: tuple[Path, ...]
    #: Bytes of each, a row an image, its labels first.
    rows: tuple[NDArray[np.uint8], ...]
    #: How it is kept.
    layout: _Format

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """Return the pixels of an image, (H, W, 3)."""
        for part in self.rows:
            if row < len(part):
                break
            row -= len(part)
        side = self.layout.side
        planes = part[row, self.layout.labels :].reshape(3, side, side)
        return np.ascontiguousarray(
            planes.transpose(2, 1, 0) if self.layout.transposed else planes.transpose(1, 2, 0)
        )


@functools.lru_cache(maxsize=1)
def _split(binary: BinarySet) -> _Split:
    """Open a split, once a process; its pixels are read when they are needed."""
    layout = next(layout for layout in _FORMATS if layout.title == binary.title)
    files = tuple(binary.folder / name for name in layout.splits[binary.split])
    width = layout.labels + 3 * layout.side**2
    parts = tuple(_read(file, layout.title, width) for file in files)
    classes = folder_names(_lines(binary.folder / layout.classes))
    count = sum(map(len, parts))
    labels: list[int | None] = [None] * count
    if layout.label_files is None:
        labels = np.concatenate([part[:, layout.labels - 1] for part in parts]).tolist()
    elif binary.split in layout.label_files:
        file = binary.folder / layout.label_files[binary.split]
        labels = (_read(file, layout.title, 1)[:, 0].astype(int) - 1).tolist()
    if len(labels) != count or not all(x is None or 0 <= x < len(classes) for x in labels):
        raise DiloError(
            f"labels of {layout.title} in {binary.folder} must be of {len(classes)} classes, one "
            f"for each of {count} images, got others: unpack its archive again"
        )
    digits = len(str(count - 1))
    names = [
        ("" if label is None else f"{classes[label]}/") + f"{row:0{digits}d}.png"
        for row, label in enumerate(labels)
    ]
    return _Split(Names(sorted(names)), files, parts, layout)


def _read(file: Path, title: str, width: int) -> Any:
    """Map a file of rows of so many bytes into memory."""
    try:
        size = file.stat().st_size
        if not size or size % width:
            raise DiloError(
                f"{file} must be a file of {title}, of {width} bytes an image, got {size} bytes: "
                "unpack its archive again"
            )
        return np.memmap(file, np.uint8, "r").reshape(-1, width)
    except OSError as error:
        require_access(error, file)
        raise DiloError(f"{file} must be a file of {title}, got: {error.strerror}") from error


def _lines(file: Path) -> list[str]:
    """Read the lines of a short file."""
    from dilo.pipeline.common.textfiles import read_text

    return [line.strip() for line in read_text(file).splitlines() if line.strip()]
