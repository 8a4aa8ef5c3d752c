"""Masks that were made elsewhere: a folder of PNGs becomes a store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.finding import holds_anything
from dilo.pipeline.images import decode, decode_reduced
from dilo.pipeline.names import Names, escaped
from dilo.pipeline.plan import Plan, names_once
from dilo.pipeline.planning import PlanOf, planner
from dilo.pipeline.pngs import full_names, stem
from dilo.pipeline.saliency.recipe import squash

#: What plan.json calls the method of such a store.
IMPORTED = "imported"
#: Raised when the same PNGs come to give other masks.
VERSION = 1


def imported_plan(pngs: Names, size: int) -> PlanOf:
    """Say what the plan of a store of imported masks is.

    Parameters
    ----------
    pngs : Names
        The folder's PNGs, so that one that came or went since is noticed.
    size : int
        Side of a mask, in pixels.

    Returns
    -------
    callable
        From images and shard size to a plan.
    """
    return planner("masks", IMPORTED, {"pngs": pngs.digest(), "version": VERSION}, size)


def count_masks(names: Names, pngs: Names, folder: Path) -> int:
    """Count the images that have a mask in a folder.

    Parameters
    ----------
    names : Names
        The images.
    pngs : Names
        The folder's PNGs.
    folder : Path
        The folder, for the message.

    Returns
    -------
    int
        How many have one.

    Raises
    ------
    DiloError
        If none has.
    """
    return len(paired(names, pngs, f"--png {folder} must"))


def paired(names: Names, pngs: Names, rule: str) -> dict[int, str]:
    """Find the masks of images by their names.

    Parameters
    ----------
    names : Names
        The images.
    pngs : Names
        The PNGs of a folder of masks.
    rule : str
        How an error begins, before "hold masks named like the images".

    Returns
    -------
    dict of int to str
        Of each image that has a mask, by its position, the PNG.

    Raises
    ------
    DiloError
        If none has.
    """
    full = {names[i] for i in full_names(names)}
    found: dict[int, str] = {}
    for position, name in enumerate(names):
        there = (png for png in candidates(name, full) if png in pngs)
        if (first := next(there, None)) is not None:
            found[position] = first
    if not found:
        wanted = " or ".join(map(escaped, candidates(names[0], full)))
        raise DiloError(
            f"{rule} hold masks named like the images, such as {wanted} for "
            f"{escaped(names[0])}, got none for any of {len(names)} images"
        )
    return found


def candidates(name: str, full: set[str]) -> list[str]:
    """Name the PNGs that may be an image's mask, the first that is there being it.

    Parameters
    ----------
    name : str
        The image.
    full : set of str
        Images whose PNG must keep their extension, for others would have it too.

    Returns
    -------
    list of str
        Paths below the folder of masks.
    """
    return [f"{name}.png"] if name in full else [f"{stem(name)}.png", f"{name}.png"]


def imported_maker(
    store: Path, plan: Plan, folder: Path | None
) -> Callable[[str, bytes], tuple[NDArray[np.uint8], tuple[int, int]]]:
    """Prepare what finds the masks of a planned store.

    Parameters
    ----------
    store : Path
        The store.
    plan : Plan
        Its plan.
    folder : Path or None
        Folder of masks.

    Returns
    -------
    callable
        From an image's path and the content of its file to its mask, an (S, S) uint8 array,
        and the height and width of the image.

    Raises
    ------
    DiloError
        If there is no folder.
    """
    if folder is None:
        raise DiloError(f"{store} holds imported masks: dilo-prep import --png DIR goes on with it")
    names = names_once(store, plan.digest)
    full = {names[i] for i in full_names(names)}

    def make(path: str, content: bytes) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        whole = decode_reduced(content, 1)[1]
        mask = read_mask(_there(folder, candidates(path, full)))
        require_same_picture(mask.shape, whole)
        return squash(mask, plan.size), whole

    return make


def _there(folder: Path, pngs: list[str]) -> Path:
    """Find the first of some files that is there."""
    for png in pngs:
        if (folder / png).exists():
            return folder / png
    if holds_anything(folder):
        raise ImageError(f"no mask: {' or '.join(map(escaped, pngs))}")
    raise DiloError(
        f"--png {folder} must hold the masks, got nothing there: is the disk mounted? "
        f"Finished shards are kept; give the same command to go on"
    )


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask that somebody else made.

    Parameters
    ----------
    path : Path
        A gray picture.

    Returns
    -------
    ndarray of shape (h, w), uint8
        Saliency, 0 to 255. Deeper samples are scaled; a mask of 0 and 1, as programs for
        labels write it, becomes one of 0 and 255.

    Raises
    ------
    ImageError
        If it cannot be read or has colours.
    """
    try:
        pixels = decode(path)
    except ImageError as error:
        raise ImageError(f"its mask: {error}") from error
    mask: NDArray[np.uint8] = np.ascontiguousarray(pixels[:, :, 0])
    if not (pixels == mask[:, :, None]).all():
        raise ImageError("its mask must be gray, got colours: save the mask alone, without them")
    return mask * np.uint8(255) if mask.max(initial=0) == 1 else mask


def require_same_picture(mask: tuple[int, ...], image: tuple[int, int]) -> None:
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
    (height, width), (rows, columns) = image, mask
    scaled = abs(rows * width - columns * height) <= max(height, width)  # within a pixel
    if rows != columns and not scaled:
        raise ImageError(
            f"its mask must have the image's proportions, {width} x {height}, or be square, "
            f"got {columns} x {rows}"
        )
