"""Show a store of masks: a sheet of image, mask and foreground for some of its images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.names import escaped
from dilo.pipeline.sheets import BLANK, Picture, sheet
from dilo.pipeline.store import MaskStore

#: Gray that stands for what the mask removes.
NOTHING = 127


def stretched(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Stretch a mask to its image, bilinearly, as it will be used.

    Parameters
    ----------
    mask : ndarray of shape (h, w), uint8
        Of the image squashed to this size, for a store's masks a square.
    shape : tuple of int
        The image's: H, W, and what may follow.

    Returns
    -------
    ndarray of shape (H, W), uint8
        The mask over the image; the very mask where the size is right already.
    """
    if mask.shape == shape[:2]:
        return mask
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))


def mask_picture(mask: NDArray[np.uint8], image: NDArray[np.uint8]) -> Picture:
    """Make the cell of a mask, with how much it covers below it.

    Parameters
    ----------
    mask : ndarray of shape (S, S), uint8
        Of the image squashed to a square.
    image : ndarray of shape (H, W, 3), uint8
        The image.

    Returns
    -------
    Picture
        In the image's proportions.
    """
    return Picture(stretched(mask, image.shape), f"covers {mask.mean() / 255:.0%}")


def foreground(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fade out what a mask calls background.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        The image.
    mask : ndarray of shape (S, S), uint8
        Its mask, of the image squashed to a square.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        The image, over gray, with the mask as alpha.
    """
    share = stretched(mask, image.shape)[:, :, None] / 255.0
    return np.rint(image * share + NOTHING * (1.0 - share)).astype(np.uint8)


def drawn(names: Sequence[str], *, count: int, seed: int) -> list[str]:
    """Draw some of a store's images to show.

    Parameters
    ----------
    names : sequence of str
        The images.
    count : int
        How many to draw; all if there are fewer.
    seed : int
        Which ones.

    Returns
    -------
    list of str
        In the order of `names`.
    """
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    return [names[index] for index in sorted(chosen.tolist())]


def mask_sheet(store: MaskStore, images: Path, chosen: Sequence[str]) -> Image.Image:
    """Draw a contact sheet of a store.

    Parameters
    ----------
    store : MaskStore
        The masks.
    images : Path
        Folder that the store's paths are relative to.
    chosen : sequence of str
        Which of its images to show, at least one.

    Returns
    -------
    Image
        Two images a row, each as image, mask, foreground; for one that cannot be read,
        a blank with the reason.
    """
    triples = [_triple(store, images, name) for name in chosen]
    pairs = [triples[i : i + 2] for i in range(0, len(triples), 2)]
    return sheet([[picture for triple in pair for picture in triple] for pair in pairs])


def _triple(store: MaskStore, images: Path, name: str) -> list[Picture]:
    """Make the three cells of one image."""
    caption = escaped(name)
    mask = store[name]
    try:
        image = decode(images / name)
    except ImageError as error:
        return [Picture(BLANK, caption), Picture(BLANK, str(error)), Picture(BLANK)]
    return [
        Picture(image, caption.rsplit("/", 1)[-1]),
        mask_picture(mask, image),
        Picture(foreground(image, mask)),
    ]
