"""Pictures of the page: copied beside it, and in it as data as far as there is room."""

import base64
import re
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dilo.pipeline.common.files import atomic_write

#: Bytes of all pictures in the page, about, and bytes of one file that is read at all.
BUDGET, LARGEST = 24_000_000, 64_000_000
#: Pixels of a picture that is opened at all.
PIXELS = 100_000_000
#: Pictures of one folder of results.
MOST = 24


@dataclass(frozen=True)
class Picture:
    """A picture of the page."""

    #: Its name in the output folder.
    file: str
    #: The picture as a data URI; empty where the page had no room.
    data: str
    width: int
    height: int


class ImageStore:
    """The pictures of a page, each under a name of its own, in an output folder that exists."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._names: set[str] = set()
        self._room = BUDGET
        #: Which pictures are skipped or beside the page, and why.
        self.notes: list[str] = []

    def path(self, *words: str) -> Path:
        """Choose a file for a picture, in plain letters, and no two alike."""
        words = tuple(dict.fromkeys(words))
        plain = "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", word).strip("-")[:60] for word in words)
        plain = plain.strip("-") or "picture"
        name, count = plain, 1
        while name.lower() in self._names:
            count += 1
            name = f"{plain}-{count}"
        self._names.add(name.lower())
        return self._out / f"{name}.png"

    def copy(self, source: Path, *words: str) -> Picture | None:
        """Copy a PNG beside the page and embed it; None, with a note, if it cannot be shown."""
        try:
            if (size := source.stat().st_size) > LARGEST:
                raise ValueError(f"{size >> 20} MiB, more than {LARGEST >> 20}")
            _check(source)
        except (OSError, ValueError, SyntaxError) as error:
            self.notes.append(f"{source} is skipped: it is no picture to be shown ({error})")
            return None
        path = self.path(*words)
        with atomic_write(path) as part:
            shutil.copyfile(source, part)
        return self.embed(path)

    def embed(self, path: Path) -> Picture:
        """Take a PNG of the output folder into the page, if there is room."""
        with Image.open(path) as picture:
            width, height = picture.size
        if (size := path.stat().st_size) > self._room:
            self.notes.append(f"{path.name} is beside the page, not in it: the page would be large")
            return Picture(path.name, "", width, height)
        self._room -= size
        data = base64.b64encode(path.read_bytes()).decode()
        return Picture(path.name, f"data:image/png;base64,{data}", width, height)


def first_of_each_folder(pictures: Sequence[Path]) -> tuple[list[Path], int]:
    """Bound how many pictures of each folder are shown; return the number of the others too."""
    counts: dict[Path, int] = {}
    shown = []
    for path in pictures:
        counts[path.parent] = counts.get(path.parent, 0) + 1
        if counts[path.parent] <= MOST:
            shown.append(path)
    return shown, len(pictures) - len(shown)


def _check(source: Path) -> None:
    """Decode a PNG, but none that would fill the memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(source, formats=["PNG"]) as picture:
                if picture.width * picture.height > PIXELS:
                    raise ValueError(f"{picture.width} x {picture.height} pixels")
                picture.load()
        except Image.DecompressionBombError as error:
            raise ValueError(str(error)) from error
