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
SAMPLE_SIZE = 16
_LOSSY = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
_ZERO_ONE = "hold 0 and 1, taken as 0 and 255"
_ALPHA = "have their object in the alpha channel, which is used"
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
    """Read a mask that somebody else made, as saliency from 0 to 255.

    Deeper samples are scaled; a mask of 0 and 1, as programs for labels write it, becomes one of 0
    and 255; where the colours say nothing, or are those of the object cut out, the alpha channel
    is the mask. `remark` is called with what is odd about it, in words that follow "masks".
    """
    try:
        return _extract_mask(read_file(path), remark or _ignore)
    except _ColoursError:
        raise
    except ImageError as error:
        raise ImageError(f"its mask: {error}", error.errno) from error


class _ColoursError(ImageError):
    """A picture that is no mask."""


def _ignore(text: str) -> None:
    """Ignore a remark."""


def _extract_mask(content: bytes, remark: Callable[[str], object]) -> NDArray[np.uint8]:
    """Extract the mask from the content of a file."""
    pixels = decode_content(content)
    mask: NDArray[np.uint8] = np.ascontiguousarray(pixels[:, :, 0])
    gray = bool((pixels == mask[:, :, None]).all())
    if not gray or mask.min() == mask.max():
        alpha = decode_alpha(content)
        if alpha is not None and alpha.min() < alpha.max():
            remark(_ALPHA)
            mask, gray = alpha, True
    if not gray:
        raise _ColoursError("its mask must be gray, got colours: save only the mask")
    if mask.max(initial=0) == 1:
        remark(_ZERO_ONE)
        mask = mask * np.uint8(255)
    return mask


def white(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a mask is white, that is the object; one that is neither is refused."""
    maximum = int(mask.max(initial=0))
    if 0 < maximum <= WHITE_ABOVE:
        raise ImageError(
            f"its mask must be white (above {WHITE_ABOVE} of 255) where the object is, got at "
            f"most {maximum}: save it with 255 there"
        )
    above: NDArray[np.bool_] = mask > WHITE_ABOVE
    return above


def same_proportions(mask: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Check whether a mask may be of an image: of its proportions, or a square as a store's are.

    Both are height and width; a pixel more or less is no difference.
    """
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
    """List what is odd about the masks of a folder, by a few of them.

    What cannot be read is passed over: who reads it will say so.
    """
    count = min(SAMPLE_SIZE, len(files))
    sample = [files[i * len(files) // count] for i in range(count)]
    counts: Counter[str] = Counter()
    for file in sample:
        if posixpath.splitext(file)[1].lower() in _LOSSY:
            counts[_JPEG] += 1
        try:
            read_mask(folder / file, lambda text: counts.update([text]))
        except ImageError:
            continue
    return [
        f"{folder}: masks {text} ({times} of {count} looked at)" for text, times in counts.items()
    ]
