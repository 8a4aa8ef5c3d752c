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
    """List the masks of a folder: its PNGs, or, where there are none, its other images.

    Parameters
    ----------
    folder : Path
        The folder.
    images : Path, optional
        Folder of the images; where it is the very folder, PNGs alone are masks.

    Returns
    -------
    Names
        Relative paths, in the order of `find_images`.

    Raises
    ------
    DiloError
        If there is none.
    """
    names = find_images(folder)
    pngs = [name for name in names if name.lower().endswith(".png")]
    if not pngs and images is not None and folder.resolve() == images.resolve():
        raise DiloError(
            f"masks beside their images must be PNGs, got none in {folder}: "
            f"give the folder of the masks"
        )
    return Names(pngs) if pngs else names


def read_mask(path: Path, remark: Callable[[str], object] | None = None) -> NDArray[np.uint8]:
    """Read a mask that somebody else made.

    Parameters
    ----------
    path : Path
        A gray picture.
    remark : callable, optional
        Told what is odd about it, in words that follow "masks".

    Returns
    -------
    ndarray of shape (h, w), uint8
        Saliency, 0 to 255. Deeper samples are scaled; a mask of 0 and 1, as programs for
        labels write it, becomes one of 0 and 255; where the colours say nothing, or are those
        of the object cut out, the alpha channel is the mask.

    Raises
    ------
    ImageError
        If it cannot be read, or has colours and no alpha channel.
    """
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
    """Take a mask for truth: the object is where it is white.

    Parameters
    ----------
    mask : ndarray of shape (h, w), uint8
        As `read_mask` gives it.

    Returns
    -------
    ndarray of shape (h, w), bool
        Where it is above 128; nowhere in one that is black.

    Raises
    ------
    ImageError
        If it is neither black nor white anywhere.
    """
    top = int(mask.max(initial=0))
    if 0 < top <= WHITE_ABOVE:
        raise ImageError(
            f"its mask must be white (above {WHITE_ABOVE} of 255) where the object is, got at "
            f"most {top}: save it with 255 there"
        )
    above: NDArray[np.bool_] = mask > WHITE_ABOVE
    return above


def same_proportions(mask: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Tell whether a mask may be of an image: of its proportions, or a square as a store's are.

    Parameters
    ----------
    mask, image : tuple of int
        Height and width of each.

    Returns
    -------
    bool
        False where the proportions differ by more than a pixel.
    """
    (height, width), (rows, columns) = image, mask
    return rows == columns or abs(rows * width - columns * height) <= max(height, width)


def require_same_picture(mask: tuple[int, ...], image: tuple[int, ...]) -> None:
    """Refuse a mask of another shape than its image's, unless it is of a square as a store's are.

    A mask that a program turned by the orientation tag, which is ignored here, would not fit.

    Parameters
    ----------
    mask, image : tuple of int
        Height and width of each.

    Raises
    ------
    ImageError
        If the proportions differ by more than a pixel.
    """
    if not same_proportions(mask, image):
        (height, width), (rows, columns) = image, mask
        raise ImageError(
            f"its mask must have the image's proportions, {width} x {height}, or be square, "
            f"got {columns} x {rows}"
        )


def remarks(folder: Path, files: Sequence[str]) -> list[str]:
    """Say what is odd about the masks of a folder, by a few of them.

    Parameters
    ----------
    folder : Path
        The folder.
    files : sequence of str
        Its masks.

    Returns
    -------
    list of str
        Lines; none where all that are looked at are gray PNGs of 0 to 255. What cannot be read
        is passed over: who reads it will say so.
    """
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
