"""Pictures of the page: copied beside it whole, and in it as data, smaller where they are large."""

import base64
import io
import re
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dilo.pipeline.common.files import atomic_write

#: Bytes of a picture that stands in the page as it is; larger ones are made smaller.
EMBEDDED = 600_000
#: Bytes of all pictures in the page, about, and bytes of one file that is read at all.
BUDGET, LARGEST = 24_000_000, 64_000_000
#: Width, height and area, in pixels, of what is made smaller, and its quality as JPEG.
WIDTH, HEIGHT, AREA, QUALITY = 1600, 6000, 4_000_000, 85
#: Pixels of a picture that is opened at all.
PIXELS = 100_000_000
#: Pictures of one folder of results.
MOST = 24


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes
    ----------
    file : str
        Its name in the output folder.
    data : str
        The picture as a data URI; empty where the page had no room.
    width, height : int
        Pixels of what the page holds.
    shrunk : bool
        Whether the file shows more than the page.
    """

    file: str
    data: str
    width: int
    height: int
    shrunk: bool


class Album:
    """The pictures of a page, each under a name of its own.

    Parameters
    ----------
    out : Path
        The output folder, which exists.

    Attributes
    ----------
    notes : list of str
        Which pictures are left out, and why.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._taken: set[str] = set()
        self._room = BUDGET
        self.notes: list[str] = []

    def place(self, *words: str) -> Path:
        """Choose a file for a picture.

        Parameters
        ----------
        *words : str
            What it is of: any text.

        Returns
        -------
        Path
            In the output folder, in plain letters, and no two alike.
        """
        words = tuple(dict.fromkeys(words))
        plain = "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", word).strip("-")[:60] for word in words)
        plain = plain.strip("-") or "picture"
        name, count = plain, 1
        while name.lower() in self._taken:
            count += 1
            name = f"{plain}-{count}"
        self._taken.add(name.lower())
        return self._out / f"{name}.png"

    def copied(self, source: Path, *words: str) -> Picture | None:
        """Copy a picture into the output folder, and take it into the page.

        Parameters
        ----------
        source : Path
            A PNG.
        *words : str
            What it is of.

        Returns
        -------
        Picture or None
            The picture; None, with a note, for what is no sound picture.
        """
        try:
            if (size := source.stat().st_size) > LARGEST:
                raise ValueError(f"{size >> 20} MiB, more than {LARGEST >> 20}")
            _check(source)
        except (OSError, ValueError, SyntaxError) as error:
            self.notes.append(f"{source} is left out: it is no picture to be shown ({error})")
            return None
        path = self.place(*words)
        with atomic_write(path) as part:
            shutil.copyfile(source, part)
        return self.taken(path)

    def taken(self, path: Path) -> Picture:
        """Take a picture of the output folder into the page.

        Parameters
        ----------
        path : Path
            A sound PNG.

        Returns
        -------
        Picture
            With its data, if there is room.
        """
        content, kind, shrunk = path.read_bytes(), "png", False
        with Image.open(io.BytesIO(content)) as picture:
            size = picture.size
            if len(content) > EMBEDDED:
                content, size = _smaller(picture)
                kind, shrunk = "jpeg", True
        if len(content) > self._room:
            self.notes.append(f"{path.name} is beside the page, not in it: the page would be large")
            return Picture(path.name, "", *size, shrunk=True)
        self._room -= len(content)
        data = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        return Picture(path.name, data, *size, shrunk=shrunk)


def chosen(pictures: Sequence[Path]) -> tuple[list[Path], int]:
    """Bound how many pictures of each folder are shown.

    Parameters
    ----------
    pictures : sequence of Path
        All there are.

    Returns
    -------
    (list of Path, int)
        The first of each folder; how many are left out.
    """
    counts: dict[Path, int] = {}
    kept = []
    for path in pictures:
        counts[path.parent] = counts.get(path.parent, 0) + 1
        if counts[path.parent] <= MOST:
            kept.append(path)
    return kept, len(pictures) - len(kept)


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


def _smaller(picture: Image.Image) -> tuple[bytes, tuple[int, int]]:
    """Write a picture as a JPEG of bounded size."""
    width, height = picture.size
    scale = min(1, WIDTH / width, HEIGHT / height, (AREA / (width * height)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    flat = Image.new("RGB", picture.size, "white")
    clear = picture.convert("RGBA")
    flat.paste(clear, mask=clear.getchannel("A"))
    content = io.BytesIO()
    flat.resize(size, Image.Resampling.LANCZOS).save(content, "JPEG", quality=QUALITY)
    return content.getvalue(), size
