"""The augmentation on a CPU: compiled loops over the pixels of a view, which stays in its cache."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.pipeline.common.compiled import announce_compiling, compiled
from dilo.train.augment.table import (
    FACTOR,
    GRAYED,
    LEFT,
    LEVEL,
    MASK,
    ORDER,
    PICTURE,
    TALL,
    TAPS,
    TOP,
    TURN,
    WIDE,
)
from dilo.train.data.draws import BRIGHTNESS, CONTRAST, SATURATION

#: What may happen to the colours, as numbers for the compiler.
STEPS: Final = {"jitter": 0, "gray": 1, "blur": 2}
#: Single precision, for a number of Python's would make it double.
ZERO, HALF, ONE, TWO, THREE, FOUR, SIX, LEVELS = map(np.float32, (0, 0.5, 1, 2, 3, 4, 6, 255))
#: Luma of ITU-R BT.601, with torchvision's weights.
RED, GREEN, BLUE = map(np.float32, (0.2989, 0.587, 0.114))
#: Stands for the chroma of gray, which has no hue.
TINY = np.float32(1e-12)

Planes = NDArray[np.float32]
Row = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def augment_by_loops(
    images: Tensor,
    masks: Tensor,
    pictures: Tensor,
    table: Tensor,
    order: Sequence[str],
    standard: tuple[tuple[float, ...], tuple[float, ...]],
) -> Tensor:
    """Paste, colour, blur and standardise views on the CPU, in torch's number of threads.

    Parameters
    ----------
    images : Tensor of shape (B, 3, s, s), uint8
        Crops.
    masks : Tensor of shape (M, 1, s, s), uint8
        What the table counts.
    pictures : Tensor of shape (N, 3, t, t), uint8
        Backgrounds.
    table : Tensor of shape (B, K), float32
        What `view_table` returns.
    order : sequence of {"jitter", "gray", "blur"}
        In which order the colours are changed.
    standard : (tuple of float, tuple of float)
        What is subtracted from each channel, and what it is divided by.

    Returns
    -------
    Tensor of shape (B, 3, s, s), float32
        Standardised RGB.
    """
    result = torch.empty(images.shape)
    pixels, alphas, behind = (x.contiguous().numpy() for x in (images, masks, pictures))
    steps = np.array([STEPS[name] for name in order], np.int64)
    mean, std = (np.array(values, np.float32) for values in standard)
    threads = max(1, min(torch.get_num_threads(), len(images)))

    def work(first: int) -> None:
        _augment(
            pixels, alphas, behind, table.numpy(), steps, mean, std, result.numpy(), first, threads
        )

    if threads == 1:
        work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    return result


def compile_loops(say: Callable[[str], object]) -> None:
    """Compile the loops, if this machine has not yet done so, and announce it to people."""
    with announce_compiling(say, "compiling the views, which takes some seconds once a machine"):
        view = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
        table, standard = torch.zeros(1, TAPS + 1), ((0.0,) * 3, (1.0,) * 3)
        augment_by_loops(view, view[:, :1], view, table, (), standard)


@compiled
def _augment(
    images: Pixels,
    masks: Pixels,
    pictures: Pixels,
    table: NDArray[np.float32],
    steps: NDArray[np.int64],
    mean: Row,
    std: Row,
    result: NDArray[np.float32],
    first: int,
    stride: int,
) -> None:
    """Augment every `stride`-th view from one on."""
    height, width = images.shape[2:]
    planes = np.empty((3, height, width), np.float32)
    between = np.empty((height, width), np.float32)
    for view in range(first, len(images), stride):
        row, mask = table[view], int(table[view, MASK])
        if mask < 0:
            _scale(images[view], planes)
        elif row[PICTURE] < 0:
            _paste_on_gray(images[view], masks[mask, 0], row[LEVEL], planes)
        else:
            _paste_on_picture(
                images[view], masks[mask, 0], pictures[int(row[PICTURE])], row, planes
            )
        for step in steps:
            if step == 0:
                _jitter(planes, row)
            elif step == 1 and row[GRAYED] > 0:
                _drop_colours(planes)
            elif step == 2 and row[TAPS] < 1:
                for channel in range(3):
                    _blur(planes[channel], between, row[TAPS:])
        for channel in range(3):
            plane, out = planes[channel], result[view, channel]
            for y in range(height):
                for x in range(width):
                    out[y, x] = (plane[y, x] - mean[channel]) / std[channel]


@compiled
def _scale(image: Pixels, planes: Planes) -> None:
    """Write pixels as numbers in [0, 1]."""
    _, height, width = image.shape
    for channel in range(3):
        for y in range(height):
            for x in range(width):
                planes[channel, y, x] = np.float32(image[channel, y, x]) / LEVELS


@compiled
def _lerp(start: np.float32, end: np.float32, weight: np.float32) -> np.float32:
    """Mix two numbers; at weight 1 it is the end exactly, as torch.lerp has it."""
    near, far = start + weight * (end - start), end - (end - start) * (ONE - weight)
    return near if weight < HALF else far


@compiled
def _paste_on_gray(image: Pixels, mask: Pixels, level: np.float32, planes: Planes) -> None:
    """Paste a view on one level of gray."""
    _, height, width = image.shape
    for channel in range(3):
        for y in range(height):
            for x in range(width):
                weight = np.float32(mask[y, x]) / LEVELS
                pixel = np.float32(image[channel, y, x]) / LEVELS
                planes[channel, y, x] = _lerp(level, pixel, weight)


@compiled
def _paste_on_picture(
    image: Pixels, mask: Pixels, picture: Pixels, row: Row, planes: Planes
) -> None:
    """Paste a view on a box of a picture, which is enlarged if anything: bilinear."""
    _, height, width = image.shape
    last_y, last_x = picture.shape[1] - 1, picture.shape[2] - 1
    down, across = row[TALL] / np.float32(height), row[WIDE] / np.float32(width)
    left, right = np.empty(width, np.uint32), np.empty(width, np.uint32)
    rightness, behind = np.empty(width, np.float32), np.empty(width, np.float32)
    for x in range(width):
        place = row[LEFT] + (np.float32(x) + HALF) * across - HALF
        start = np.floor(place)
        rightness[x] = place - start
        left[x] = min(max(int(start), 0), last_x)
        right[x] = min(max(int(start) + 1, 0), last_x)
    line = np.empty(last_x + 1, np.float32)
    for y in range(height):
        place = row[TOP] + (np.float32(y) + HALF) * down - HALF
        start = np.floor(place)
        share = place - start
        top, bottom = min(max(int(start), 0), last_y), min(max(int(start) + 1, 0), last_y)
        for channel in range(3):
            upper, lower = picture[channel, top], picture[channel, bottom]
            for x in range(last_x + 1):
                above, below = np.float32(upper[x]), np.float32(lower[x])
                line[x] = (above + share * (below - above)) / LEVELS
            for x in range(width):
                start, end = line[left[x]], line[right[x]]
                behind[x] = start + rightness[x] * (end - start)
            for x in range(width):
                weight = np.float32(mask[y, x]) / LEVELS
                pixel = np.float32(image[channel, y, x]) / LEVELS
                planes[channel, y, x] = _lerp(behind[x], pixel, weight)


@compiled
def _luma(red: np.float32, green: np.float32, blue: np.float32) -> np.float32:
    """Mix a colour to its luma."""
    return red * RED + green * GREEN + blue * BLUE


@compiled
def _unit(value: np.float32) -> np.float32:
    """Keep a number in [0, 1]."""
    value = value if value > ZERO else ZERO
    return value if value < ONE else ONE


@compiled
def _drop_colours(planes: Planes) -> None:
    """Make a view gray."""
    _, height, width = planes.shape
    red, green, blue = planes[0], planes[1], planes[2]
    for y in range(height):
        for x in range(width):
            luma = _luma(red[y, x], green[y, x], blue[y, x])
            red[y, x] = luma
            green[y, x] = luma
            blue[y, x] = luma


@compiled
def _jitter(planes: Planes, row: Row) -> None:
    """Jitter the colours by four operations in the view's own order."""
    for position in range(4):
        operation, factor = int(row[ORDER + position]), row[FACTOR + position]
        if operation == BRIGHTNESS:
            if factor != ONE:
                _blend(planes, factor, ZERO)
        elif operation == CONTRAST:
            if factor != ONE:
                _blend(planes, factor, (ONE - factor) * _mean_luma(planes))
        elif operation == SATURATION:
            if factor != ONE:
                _saturate(planes, factor)
        elif row[TURN] != ZERO:
            _turn_hue(planes, row[TURN])


@compiled
def _blend(planes: Planes, factor: np.float32, addend: np.float32) -> None:
    """Multiply a view, and add a number."""
    _, height, width = planes.shape
    for channel in range(3):
        plane = planes[channel]
        for y in range(height):
            for x in range(width):
                plane[y, x] = _unit(plane[y, x] * factor + addend)


@compiled
def _mean_luma(planes: Planes) -> np.float32:
    """Return the mean luma of a view."""
    _, height, width = planes.shape
    red, green, blue = planes[0], planes[1], planes[2]
    sums = np.zeros(width, np.float32)  # column by column, which go through side by side
    for y in range(height):
        for x in range(width):
            sums[x] += _luma(red[y, x], green[y, x], blue[y, x])
    total = 0.0
    for x in range(width):
        total += sums[x]
    return np.float32(total / (height * width))


@compiled
def _saturate(planes: Planes, factor: np.float32) -> None:
    """Mix a view with its luma."""
    _, height, width = planes.shape
    red, green, blue = planes[0], planes[1], planes[2]
    for y in range(height):
        for x in range(width):
            luma = (ONE - factor) * _luma(red[y, x], green[y, x], blue[y, x])
            red[y, x] = _unit(red[y, x] * factor + luma)
            green[y, x] = _unit(green[y, x] * factor + luma)
            blue[y, x] = _unit(blue[y, x] * factor + luma)


@compiled
def _turn_hue(planes: Planes, turn: np.float32) -> None:
    """Turn the hue, keeping the saturation and value of HSV.

    A channel falls below the largest by the chroma times a trapezoid of the hue, the same
    for all three but for its phase; so the way back from HSV needs no table of six cases.
    """
    _, height, width = planes.shape
    red, green, blue = planes[0], planes[1], planes[2]
    for y in range(height):
        for x in range(width):
            r, g, b = red[y, x], green[y, x], blue[y, x]
            value = max(max(r, g), b)
            chroma = value - min(min(r, g), b)
            # Products of 0 and 1, for a branch would keep the loop from going many at a time.
            most_red = np.float32(value == r)
            most_green = np.float32(value == g) * (ONE - most_red)
            most_blue = ONE - most_red - most_green
            # In sixths of a turn; red is 0, green 2, blue 4.
            hue = most_red * (g - b) + most_green * (b - r) + most_blue * (r - g)
            hue = hue / max(chroma, TINY) + most_green * TWO + most_blue * FOUR + turn
            red[y, x] = value - chroma * _fall(hue + THREE)
            green[y, x] = value - chroma * _fall(hue + ONE)
            blue[y, x] = value - chroma * _fall(hue - ONE)


@compiled
def _fall(angle: np.float32) -> np.float32:
    """Return the trapezoid of a hue: 0 for a third of the circle, 1 for a third."""
    # How far from its middle, the shorter way round; an angle is over -2.5 circles.
    circles = np.float32(np.int32(angle / SIX + np.float32(2.5)) - np.int32(2))
    return _unit(TWO - abs(angle - SIX * circles))


@compiled
def _blur(plane: NDArray[np.float32], between: NDArray[np.float32], taps: Row) -> None:
    """Blur a plane down its columns and along its rows; edge pixels go on beyond the edge."""
    height, width = plane.shape
    radius = 0
    while radius + 1 < len(taps) and taps[radius + 1] > 0:
        radius += 1
    padded = np.empty(width + 2 * radius, np.float32)
    for y in range(height):
        line, out = plane[y], between[y]
        for x in range(width):
            out[x] = line[x] * taps[0]
        for reach in range(1, radius + 1):
            above, below = plane[max(y - reach, 0)], plane[min(y + reach, height - 1)]
            tap = taps[reach]
            for x in range(width):
                out[x] += (above[x] + below[x]) * tap
    for y in range(height):
        line, out = between[y], plane[y]
        padded[:radius] = line[0]
        padded[radius : radius + width] = line
        padded[radius + width :] = line[-1]
        for x in range(width):
            out[x] = line[x] * taps[0]
        for reach in range(1, radius + 1):
            before, after, tap = padded[radius - reach :], padded[radius + reach :], taps[reach]
            for x in range(width):
                out[x] += (before[x] + after[x]) * tap
