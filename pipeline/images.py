"""Image files: their names below a folder, in one fixed order, and their pixels as RGB."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self, overload

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.errors import DiloError, ImageError

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)


class Names(Sequence[str]):
    """An immutable sequence of file names, held as one buffer.

    A million Python strings take a hundred megabytes and are copied into every loader
    worker as soon as it counts references to them; two arrays are shared and stay flat.

    Parameters
    ----------
    names : iterable of str
        Relative POSIX paths, without line breaks.
    """

    def __init__(self, names: Iterable[str]) -> None:
        listed = list(names)
        self._hold("".join(f"{name}\n" for name in listed).encode())
        if len(self) != len(listed):
            raise ValueError("names must have no line breaks, got one that has")

    def _hold(self, text: bytes) -> None:
        """Keep the names as they stand in a file, and where each line ends."""
        self._bytes: NDArray[np.uint8] = np.frombuffer(text, np.uint8)
        self._ends: NDArray[np.int64] = np.flatnonzero(self._bytes == ord("\n"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a list of names, one a line, in UTF-8.

        Parameters
        ----------
        path : Path
            A file that holds `text`.

        Returns
        -------
        Names
            The names in the file's order.
        """
        names = cls(())
        names._hold(path.read_bytes())
        return names

    def text(self) -> str:
        """Join the names, one a line, as `read` reads them.

        Returns
        -------
        str
            Each name followed by a line feed.
        """
        return self._bytes.tobytes().decode()

    def digest(self) -> str:
        """Digest the names and their order.

        Returns
        -------
        str
            SHA-256 of `text` in UTF-8, as 64 hexadecimal digits.
        """
        return hashlib.sha256(self._bytes.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "str | Names":
        if isinstance(index, slice):
            return Names(self[i] for i in range(*index.indices(len(self))))
        position = range(len(self))[index]  # raises IndexError and counts from the end
        start = int(self._ends[position - 1]) + 1 if position else 0
        return self._bytes[start : int(self._ends[position])].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and np.array_equal(self._bytes, other._bytes)

    __hash__ = None  # type: ignore[assignment]  # arrays inside


def find_images(root: Path) -> Names:
    """List the image files below a folder, at any depth.

    Parameters
    ----------
    root : Path
        The folder. Links are followed, once each; hidden files and folders (such as
        the ``._`` companions that macOS leaves) are passed over.

    Returns
    -------
    Names
        Paths relative to `root`, with forward slashes, sorted by code point, so that
        the order is the same on every machine.

    Raises
    ------
    DiloError
        If `root` is no folder, holds no image, or a name cannot be a line of text.
    """
    if not root.is_dir():
        raise DiloError(f"images must be in a folder, got {root}: no such folder")
    names = sorted(_walk(root))
    if not names:
        raise DiloError(
            f"a folder must hold images ({' '.join(sorted(EXTENSIONS))}), got {root}: none found"
        )
    for name in names:
        if not name.isprintable():  # line breaks, and bytes that are not UTF-8
            raise DiloError(
                f"{root}: a file name must be printable UTF-8 without line breaks, "
                f"got {name!r}: rename it"
            )
    return Names(names)


def _walk(root: Path) -> Iterator[str]:
    """Yield relative paths in no order; a folder reached twice through links is read once."""
    pending = [(os.fspath(root), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, prefix = pending.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    pending.append((entry.path, f"{prefix}{entry.name}/"))
                elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                    yield f"{prefix}{entry.name}"


def decode(path: Path | str) -> NDArray[np.uint8]:
    """Read an image file as RGB, whatever its mode.

    Orientation tags are ignored and alpha is dropped, as torchvision's ImageFolder
    does, so that masks, training and published numbers see the same pixels.

    Parameters
    ----------
    path : Path or str
        The file. Its content decides the format, not its extension.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Red, green and blue. The first frame of a moving picture; samples of more
        than 8 bits scaled to 0..255.

    Raises
    ------
    ImageError
        If the file cannot be read, is no image, is truncated or has broken data.
    """
    return _decoded(read_file(path), None)[0]


def read_file(path: Path | str) -> bytes:
    """Read an image file as it is.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    bytes
        Its content, for `decode_reduced`.

    Raises
    ------
    ImageError
        If it cannot be read; its `errno` says what the operating system said.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        # Without the path: what a shard records must not tell where it was made.
        raise ImageError(error.strerror or _words(error), error.errno) from error


def decode_reduced(content: bytes, side: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an image file as RGB, a JPEG at 1/2, 1/4 or 1/8 of its size where that suffices.

    What will be small is decoded small: the codec leaves out the fine frequencies, which
    saves time here and more where the image is squashed. All of the file is read all the same.

    Parameters
    ----------
    content : bytes
        The file, as `read_file` gives it.
    side : int
        Neither side gets smaller than this, in pixels, by the reduction.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Red, green and blue.
    tuple of int
        Height and width of the whole image.

    Raises
    ------
    ImageError
        As `decode`.
    """
    return _decoded(content, side)


def _decoded(content: bytes, side: int | None) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode an image file, and say how large the whole image is."""
    try:
        whole = _plain_jpeg_shape(content)
        if whole is not None:
            # Pillow lets a third of the scans with wrong bytes pass; this decoder, strict
            # about libjpeg's warnings, hardly any. The pixels of a sound file are the same.
            height, width = _reduced(whole, side)
            pixels = simplejpeg.decode_jpeg(
                content, "RGB", strict=True, min_height=height, min_width=width
            )
            return pixels, whole
        with warnings.catch_warnings():
            # Odd metadata and sizes that Pillow remarks on do not concern the pixels.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                pixels = _rgb(image)
                return pixels, (pixels.shape[0], pixels.shape[1])
    except MemoryError:
        raise ImageError("too large to hold in memory") from None
    # A decoder that meets malformed bytes may raise anything, and one bad file among a
    # million must not end the run.
    except Exception as error:
        raise ImageError(_words(error)) from error


def _reduced(shape: tuple[int, int], side: int | None) -> tuple[int, int]:
    """Give the size to decode to; libjpeg's other factors than these take longer than the whole."""
    factor = 1
    while side and factor < 8 and min(shape) // (2 * factor) >= side:
        factor *= 2
    return -(-shape[0] // factor), -(-shape[1] // factor)


def _words(error: Exception) -> str:
    """Say an error in one line, without the address of the buffer that Pillow was given."""
    words = " ".join(str(error).split())
    return "not an image" if "cannot identify" in words else words or type(error).__name__


def _plain_jpeg_shape(content: bytes) -> tuple[int, int] | None:
    """Give height and width of a JPEG of one or three components; Pillow reads the rarer kinds."""
    if not content.startswith(b"\xff\xd8"):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return (height, width) if space in ("Gray", "YCbCr", "RGB") else None


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert to 8-bit RGB; Pillow clips deep samples where they should be scaled."""
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float64) / 257.0
    elif image.mode in ("I", "F"):
        samples = np.nan_to_num(np.asarray(image, np.float64))
        top = samples.max(initial=0.0)
        unit = 1.0 if top <= 1.0 and image.mode == "F" else 255.0
        deep = samples * (255.0 / max(unit, 65535.0 if unit < top <= 65535.0 else top))
    else:
        # A palette with alpha goes through RGBA, or Pillow guesses the transparent colour.
        direct = "RGBA" if image.mode == "P" and "transparency" in image.info else "RGB"
        return np.array(image.convert(direct).convert("RGB"))
    gray = np.clip(np.rint(deep), 0.0, 255.0).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)
