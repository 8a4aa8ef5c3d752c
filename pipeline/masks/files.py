"""Folders of masks that others made: which files are masks, what each holds, and what is odd."""

import posixpath
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.decoding import decode_alpha, decode_content, read_file
from dilo.pipeline.images.listing import EXTENSIONS, find_images
from dilo.pipeline.images.names import Names

#: Of 255: a truth is white where it is above.
WHITE_ABOVE = 128
#: Extensions of masks, the first that is there being it.
SUFFIXES = (".png", ".PNG", *sorted(EXTENSIONS - {".png"}))
#: Masks of a folder that are looked at before the work, for what is odd about them.
LOOKED_AT = 16
_LOSSY = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
_ZERO_ONE = "hold 0 and 1, taken as 0 and 255"
_ALPHA = "have their object in the alpha channel, which is taken"
_JPEG = "are JPEG, which blurs edges: PNG does not"


def mask_files(folder: Path, images: Path | None = None) -> Names:
    """List the masks of a folder: its PNGs, or, where there are none, its other images."""
    names = find_images(folder)
    pngs = [name for name in names if name.lower().endswith(".png")]
    if not pngs and images is not None and folder.resolve() == images.resolve():
        raise DiloError(
            f"masks beside their images must be PNGs, got none in {folder}: "
            f"give the folder of the masks"
        )
    return Names(pngs) if pngs else names


def read_mask(path: Path, remark: Callable[[str], object] | None = None) -> NDArray[np.uint8]:
    """Read a mask that somebody else made."""
    try:
        return _mask_of(read_file(path), remark or _nothing)
    except _ColoursError:
        raise
    except ImageError as error:
        raise ImageError(f"its mask: {error}", error.errno) from error


class _ColoursError(ImageError):
    """A picture that is no mask."""


def _nothing(words: str) -> None:
    """Pass over a remark."""


def _mask_of(content: bytes, remark: Callable[[str], object]) -> NDArray[np.uint8]:
    """Take the mask out of a file."""
    pixels = decode_content(content)
    mask: NDArray[np.uint8] = np.ascontiguousarray(pixels[:, :, 0])
    gray = bool((pixels == mask[:, :, None]).all())
    if not gray or mask.min() == mask.max():
        alpha = decode_alpha(content)
        if alpha is not None and alpha.min() < alpha.max():
            remark(_ALPHA)
            mask, gray = alpha, True
    if not gray:
        raise _ColoursError("its mask must be gray, got colours: save the mask alone, without them")
    if mask.max(initial=0) == 1:
        remark(_ZERO_ONE)
        mask = mask * np.uint8(255)
    return mask


def white(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Take a mask for truth: the object is where it is white."""
    top = int(mask.max(initial=0))
    if 0 < top <= WHITE_ABOVE:
        raise ImageError(
            f"its mask must be white (above {WHITE_ABOVE} of 255) where the object is, got at "
            f"most {top}: save it with 255 there"
        )
    above: NDArray[np.bool_] = mask > WHITE_ABOVE
    return above


def same_proportions(mask: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Tell whether a mask may be of an image: of its proportions, or a square as a store's are."""
    (height, width), (rows, columns) = image, mask
    return rows == columns or abs(rows * width - columns * height) <= max(height, width)


def require_same_picture(mask: tuple[int, ...], image: tuple[int, ...]) -> None:
    """Refuse a mask of another shape than its image's, unless it is of a square as a store's are.

    A mask that a program turned by the orientation tag, which is ignored here, would not fit.
    """
    if not same_proportions(mask, image):
        (height, width), (rows, columns) = image, mask
        raise ImageError(
            f"its mask must have the image's proportions, {width} x {height}, or be square, "
            f"got {columns} x {rows}"
        )


def remarks(folder: Path, files: Sequence[str]) -> list[str]:
    """Say what is odd about the masks of a folder, by a few of them."""
    count = min(LOOKED_AT, len(files))
    chosen = [files[i * len(files) // count] for i in range(count)]
    odd: Counter[str] = Counter()
    for file in chosen:
        if posixpath.splitext(file)[1].lower() in _LOSSY:
            odd[_JPEG] += 1
        try:
            read_mask(folder / file, lambda words: odd.update([words]))
        except ImageError:
            continue
    return [f"{folder}: masks {words} ({n} of {count} looked at)" for words, n in odd.items()]
