"""All randomness of training: pure functions of a key, through Philox; nothing global."""

import bisect
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.rng import generator, permutation
from dilo.train.recipes.recipe import BackgroundsRecipe, PasteRecipe, ViewsRecipe
from dilo.train.recipes.saliency_recipe import DataRecipe

#: Kinds of background, in the order of `BackgroundsRecipe`.
GRAY, TEXTURES, CROPS, IMAGES, NOISE = range(5)
KINDS = tuple(field.name for field in dataclasses.fields(BackgroundsRecipe))
#: Share of the pastes whose mask is blurred.
BLENDED = {"none": 0.0, "gaussian": 1.0, "mix": 0.5}

#: Top, left, height, width, in pixels.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteDraw:
    """All that chance decides about the background of one view."""

    #: `GRAY`, `TEXTURES`, `CROPS`, `IMAGES` or `NOISE`.
    kind: int
    #: The background where it is gray, 0 to 254.
    gray_level: int
    #: Which picture of its kind otherwise: the one at this share of their list, in [0, 1).
    pick: float
    #: Top, left, height, width of what lies behind the view, in pixels of that picture; the width
    #: is negative where the view is mirrored.
    background_box: tuple[float, float, float, float]
    #: Blur of the mask before it serves, in source pixels; 0 for the mask as cached.
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

    Returns None if nothing is pasted.
    """
    if uniform.paste >= recipe.probability:
        return None
    ends = _ends(recipe.backgrounds)
    point = min(uniform.kind * ends[-1], math.nextafter(ends[-1], 0))  # for a product may round up
    return PasteDraw(
        kind=bisect.bisect(ends, point),
        gray_level=int(255 * uniform.level),
        pick=uniform.pick,
        background_box=_background_box(shape, box, flip, side, uniform.down, uniform.across),
        blend_sigma=recipe.blend_sigma if uniform.blend < BLENDED[recipe.blend] else 0.0,
    )


@functools.lru_cache(maxsize=1)
def _ends(shares: BackgroundsRecipe) -> list[float]:
    """Add up the shares of the kinds of background."""
    return list(itertools.accumulate(dataclasses.astuple(shares)))


def _background_box(
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


#: What a stream of numbers is for; half of Philox's key, the seed being the other half.
VIEW, ORDER, SHUFFLE, BANK, NEGATIVES, WINDOW = range(6)
#: The same, of the images of a kNN evaluation: far from those of training.
EVALUATION: Final = 2**32
#: Tries of torchvision's RandomResizedCrop before it takes the middle of the image.
TRIES: Final = 10
#: Logarithms of the aspect ratios 3/4 and 4/3, between which a box's ratio is drawn.
LOG_RATIOS: Final = (math.log(3 / 4), math.log(4 / 3))
#: Brightness, contrast, saturation, hue; a permutation of them is an order of jitter.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS: Final = tuple(itertools.permutations((BRIGHTNESS, CONTRAST, SATURATION, HUE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewDraw:
    """All that chance decides about one view of one image."""

    #: Top, left, height, width of the crop, in source pixels.
    box: Box
    #: Whether the crop is mirrored left to right.
    flip: bool
    #: What the foreground is pasted on; None for the image as it is.
    paste: PasteDraw | None
    #: Whether the colours are jittered.
    jitter: bool
    #: Factors of the jitter; 1 changes nothing.
    brightness: float
    #: Factors of the jitter; 1 changes nothing.
    contrast: float
    #: Factors of the jitter; 1 changes nothing.
    saturation: float
    #: Shift of the hue, in turns.
    hue: float
    #: In which order jitter does brightness (0), contrast (1), saturation (2), hue (3).
    order: tuple[int, ...]
    #: Whether the colours are dropped.
    gray: bool
    #: Blur of the view, in pixels of the view; 0 for none.
    blur_sigma: float


def view_draw(
    views: ViewsRecipe,
    paste: PasteRecipe,
    *,
    seed: int,
    epoch: int,
    sample: int,
    view: int,
    height: int,
    width: int,
    object_share: Callable[[Box], float] | None = None,
) -> ViewDraw:
    """Draw one view of one image.

    `object_share` measures how much of the image's object a box shows, for `min_object`; None for
    an image without a mask, of which every box serves.

    Notes
    -----
    Every parameter takes its own place in one vector of uniform numbers, whether it is
    needed or not. So a changed probability changes no other parameter.
    """
    numbers = generator(seed, VIEW, view, sample, epoch)
    # A new parameter takes a new last place: the others, and so past runs, stay as they are. The
    # places from here on are those of `_box_with_object`, 22 for each of 9 boxes.
    uniform = numbers.random(2 * TRIES + 19).tolist()
    (
        *shapes,
        top,
        left,
        flip,
        pasted,
        level,
        blended,
        jittered,
        brightness,
        contrast,
        saturation,
        hue,
        order,
        gray,
        blurred,
        sigma,
        kind,
        pick,
        down,
        across,
    ) = uniform
    strength = views.jitter_strength
    if views.crop == "center":
        box = _center_box(height, width)
    else:
        box = _random_box(shapes, top, left, views.crop_scale, height, width)
        if views.min_object and object_share:
            box = _box_with_object(box, object_share, views, numbers, height, width)
    may_paste = epoch >= paste.from_epoch and (view == 0 or paste.views == "both")
    pasting = PasteUniforms(pasted, kind, level, pick, down, across, blended)
    return ViewDraw(
        box=box,
        flip=flip < views.flip,
        paste=paste_draw(
            paste,
            pasting,
            shape=(height, width),
            box=box,
            flip=flip < views.flip,
            side=views.size,
        )
        if may_paste
        else None,
        jitter="jitter" in views.order and jittered < views.jitter,
        brightness=_between(max(0.0, 1 - strength[0]), 1 + strength[0], brightness),
        contrast=_between(max(0.0, 1 - strength[1]), 1 + strength[1], contrast),
        saturation=_between(max(0.0, 1 - strength[2]), 1 + strength[2], saturation),
        hue=_between(-strength[3], strength[3], hue),
        order=ORDERS[int(len(ORDERS) * order)],
        gray="gray" in views.order and gray < views.gray,
        blur_sigma=_between(*views.blur_sigma, sigma)
        if "blur" in views.order and blurred < views.blur
        else 0.0,
    )


def sample_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Draw the order in which an epoch visits its samples."""
    return permutation(generator(seed, ORDER, 0, 0, epoch), count)


def evaluation_order(seed: int, count: int) -> NDArray[np.int64]:
    """Draw the order in which the images of a kNN evaluation are chosen."""
    return permutation(generator(seed, EVALUATION), count)


def key_shuffle(seed: int, step: int, count: int, part: int = 0) -> NDArray[np.int64]:
    """Draw how a batch is dealt to the batch-norm groups of the key encoder.

    References
    ----------
    .. [1] K. He, H. Fan, Y. Wu, S. Xie and R. Girshick, "Momentum Contrast for Unsupervised
       Visual Representation Learning", CVPR 2020, section 3.3, "Shuffling BN".
    """
    return permutation(generator(seed, SHUFFLE, 0, part, step), count)


def negatives_seed(seed: int, step: int, part: int = 0) -> int:
    """Draw what a device's own generator starts from, to draw the negatives of a batch.

    They are too many to be drawn on the CPU and sent.
    """
    numbers = generator(seed, NEGATIVES, 0, part, step)
    return int(numbers.bit_generator.random_raw()) >> 1


def bank_draw(
    seed: int, epoch: int, kind: int, rows: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw which pictures of a store serve as backgrounds during an epoch."""
    numbers = generator(seed, BANK, 0, kind, epoch)
    picks = permutation(numbers, rows)[:count]
    return picks, numbers.random(count)


def noise_draw(seed: int, epoch: int, kind: int, count: int, side: int) -> NDArray[np.uint8]:
    """Draw pictures of noise, each value by itself."""
    numbers = generator(seed, BANK, 0, kind, epoch)
    size = count * 3 * side * side
    # Raw words, for numpy may change how it makes small integers of them.
    words = numbers.bit_generator.random_raw(-(-size // 8)).astype("<u8")
    return words.view(np.uint8)[:size].reshape(count, 3, side, side)


def _between(low: float, high: float, uniform: float) -> float:
    """Stretch a uniform number of [0, 1) to a range."""
    return low + (high - low) * uniform


def _random_box(
    shapes: list[float],
    top: float,
    left: float,
    scale: tuple[float, float],
    height: int,
    width: int,
) -> Box:
    """Place a box by torchvision's RandomResizedCrop rule; `shapes` is (area, ratio) by tries."""
    for area, ratio in zip(shapes[::2], shapes[1::2], strict=True):
        target = height * width * _between(*scale, area)
        aspect = math.exp(_between(*LOG_RATIOS, ratio))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int((height - h + 1) * top), int((width - w + 1) * left), h, w
    # No box fitted: the largest in the middle whose ratio is allowed.
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def _box_with_object(
    box: Box,
    object_share: Callable[[Box], float],
    views: ViewsRecipe,
    numbers: np.random.Generator,
    height: int,
    width: int,
) -> Box:
    """Redraw a box until it shows enough of the object; in vain, return the one that shows most.

    CAST tries ten boxes too, but takes another image after them, on which its loader then depends
    (R. R. Selvaraju et al., "CASTing Your Model: Learning to Localize Improves Self-Supervised
    Representations", CVPR 2021).
    """
    best, most = box, object_share(box)
    for _ in range(TRIES - 1):
        if most >= views.min_object:
            break
        *shapes, top, left = numbers.random(2 * TRIES + 2).tolist()
        box = _random_box(shapes, top, left, views.crop_scale, height, width)
        if (share := object_share(box)) > most:
            best, most = box, share
    return best


def _center_box(height: int, width: int) -> Box:
    """Place the square that an evaluation sees: the middle 224 of a short side of 256."""
    side = max(1, round(min(height, width) * 224 / 256))
    return (height - side) // 2, (width - side) // 2, side, side


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of an image is seen."""

    #: Side of the square that the whole image is squashed to, in pixels.
    side: int
    #: Where in it the crop begins, in pixels.
    top: int
    #: Where in it the crop begins, in pixels.
    left: int


def window_draw(data: DataRecipe, *, seed: int, epoch: int, sample: int) -> Window:
    """Draw the part of an image that is seen."""
    zoom, top, left = generator(seed, WINDOW, 0, sample, epoch).random(3).tolist()
    low, high = data.scale
    side = max(data.crop, round(data.size / (low + (high - low) * zoom)))
    room = side - data.crop
    return Window(side, int(room * top), int(room * left))
