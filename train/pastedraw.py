"""The draw of a paste: whether, on what, which part of it, with which edge."""

import bisect
import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from dilo.train.recipe import BackgroundsRecipe, PasteRecipe

#: Kinds of background, in the order of `BackgroundsRecipe`.
GRAY, TEXTURES, CROPS, IMAGES, NOISE = range(5)
KINDS = tuple(field.name for field in dataclasses.fields(BackgroundsRecipe))
#: Share of the pastes whose mask is blurred.
BLENDED = {"none": 0.0, "gaussian": 1.0, "mix": 0.5}

#: Top, left, height, width, in pixels.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteDraw:
    """All that chance decides about the background of one view.

    Attributes
    ----------
    kind : int
        `GRAY`, `TEXTURES`, `CROPS`, `IMAGES` or `NOISE`.
    gray_level : int
        The background where it is gray, 0 to 254.
    pick : float
        Which picture of its kind otherwise: the one at this share of their list, in [0, 1).
    background_box : (float, float, float, float)
        Top, left, height, width of what lies behind the view, in pixels of that picture; the
        width is negative where the view is mirrored.
    blend_sigma : float
        Blur of the mask before it serves, in source pixels; 0 for the mask as cached.
    """

    kind: int
    gray_level: int
    pick: float
    background_box: tuple[float, float, float, float]
    blend_sigma: float


class PasteUniforms(NamedTuple):
    """The uniform numbers of [0, 1) behind a `PasteDraw`, one a decision."""

    paste: float
    kind: float
    level: float
    pick: float
    down: float
    across: float
    blend: float


def paste_draw(
    recipe: PasteRecipe,
    uniform: PasteUniforms,
    *,
    shape: tuple[int, int],
    box: Box,
    flip: bool,
    side: int,
) -> PasteDraw | None:
    """Decide about the background of one view.

    Parameters
    ----------
    recipe : PasteRecipe
        Probability, kinds by weight, blending.
    uniform : PasteUniforms
        Chance.
    shape : (int, int)
        Height and width of the image, in pixels.
    box : (int, int, int, int)
        What the view shows of it: top, left, height, width.
    flip : bool
        Whether the view is mirrored.
    side : int
        Side of the pictures of backgrounds, in pixels.

    Returns
    -------
    PasteDraw or None
        None if nothing is pasted.
    """
    if uniform.paste >= recipe.probability:
        return None
    ends = list(itertools.accumulate(dataclasses.astuple(recipe.backgrounds)))
    drawn = min(uniform.kind * ends[-1], math.nextafter(ends[-1], 0))  # for a product may round up
    return PasteDraw(
        kind=bisect.bisect(ends, drawn),
        gray_level=int(255 * uniform.level),
        pick=uniform.pick,
        background_box=_behind(shape, box, flip, side, uniform.down, uniform.across),
        blend_sigma=recipe.blend_sigma if uniform.blend < BLENDED[recipe.blend] else 0.0,
    )


def _behind(
    shape: tuple[int, int], box: Box, flip: bool, side: int, down: float, across: float
) -> tuple[float, float, float, float]:
    """Lay a square picture behind an image, enlarged to cover it, and find what a box shows of it.

    As the authors' loader fits a background: never shrunk, so that a smaller image shows a part
    of it. Theirs takes the part from the upper left half of the places; here all are as likely.
    """
    scale = max(1.0, shape[0] / side, shape[1] / side)
    top = down * (side - shape[0] / scale) + box[0] / scale
    left = across * (side - shape[1] / scale) + box[1] / scale
    height, width = box[2] / scale, box[3] / scale
    return (top, left + width, height, -width) if flip else (top, left, height, width)
