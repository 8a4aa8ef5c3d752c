"""The augmentation on CUDA: four Triton kernels, which read each view twice and write it once."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dilo.train.augment import table as columns
from dilo.train.data import draws

MASK = tl.constexpr(columns.MASK)
LEVEL = tl.constexpr(columns.LEVEL)
PICTURE = tl.constexpr(columns.PICTURE)
TOP = tl.constexpr(columns.TOP)
LEFT = tl.constexpr(columns.LEFT)
TALL = tl.constexpr(columns.TALL)
WIDE = tl.constexpr(columns.WIDE)
GRAYED = tl.constexpr(columns.GRAYED)
TURN = tl.constexpr(columns.TURN)
ORDER = tl.constexpr(columns.ORDER)
FACTOR = tl.constexpr(columns.FACTOR)
TAPS = tl.constexpr(columns.TAPS)
CONTRAST = tl.constexpr(draws.CONTRAST)
SATURATION = tl.constexpr(draws.SATURATION)
HUE = tl.constexpr(draws.HUE)
#: Pixels that a program takes.
BLOCK = 512
#: Steps before a blur, as numbers for the compiler; 0 is none.
STEPS = {"jitter": 1, "gray": 2}


def augment_by_kernels(
    images: Tensor,
    masks: Tensor,
    pictures: Tensor,
    table: Tensor,
    order: Sequence[str],
    standard: tuple[tuple[float, ...], tuple[float, ...]],
    dtype: torch.dtype,
) -> Tensor:
    """Paste, colour, blur and standardise views, a pixel's operations together in registers.

    Parameters
    ----------
    images : Tensor of shape (B, 3, s, s), uint8
        Crops.
    masks : Tensor of shape (M, 1, s, s), uint8
        What the table counts.
    pictures : Tensor of shape (N, 3, t, t), uint8
        Backgrounds.
    table : Tensor of shape (B, K), float32
        What `view_table` returns, on the device of the images.
    order : sequence of {"jitter", "gray", "blur"}
        In which order the colours are changed; blur, if any, is last.
    standard : (tuple of float, tuple of float)
        What is subtracted from each channel, and what it is divided by.
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    Tensor of shape (B, 3, s, s)
        Standardised RGB; in memory, channels come last.
    """
    steps = [STEPS[name] for name in order if name != "blur"]
    (mean, std), blurring = map(list, standard), "blur" in order
    images, masks, pictures = (x.contiguous() for x in (images, masks, pictures))
    result = torch.empty(
        images.shape, dtype=dtype, device=images.device, memory_format=torch.channels_last
    )
    sums = table.new_empty(0)
    if "jitter" in order:
        sums = luma_sums(images, masks, pictures, table, steps)
    planes = paint(images, masks, pictures, table, sums, steps, mean, std, blurring, result)
    if blurring:
        blur_rows(blur_columns(planes, table), table, mean, std, result)
    return result


@torch.library.custom_op("dilo::luma_sums", mutates_args=())
def luma_sums(
    images: Tensor, masks: Tensor, pictures: Tensor, table: Tensor, steps: list[int]
) -> Tensor:
    """Sum the luma of each block of a view, where its contrast has its turn."""
    grid = _grid(images)
    sums = table.new_empty(grid)
    _luma_sums[grid](
        images, masks, pictures, table, sums, *_sizes(images, pictures, table), *_two(steps), BLOCK
    )
    return sums


@torch.library.custom_op("dilo::paint", mutates_args=("result",))
def paint(
    images: Tensor,
    masks: Tensor,
    pictures: Tensor,
    table: Tensor,
    sums: Tensor,
    steps: list[int],
    mean: list[float],
    std: list[float],
    blurring: bool,
    result: Tensor,
) -> Tensor:
    """Paste and colour views; of one that is blurred, return planes, of another, the result."""
    planes = table.new_empty(images.shape if blurring else (0,))
    grid = _grid(images)
    _paint[grid](
        *(images, masks, pictures, table, sums, planes, result, grid[1]),
        *_sizes(images, pictures, table),
        *(*mean, *std, *_two(steps), blurring, triton.next_power_of_2(grid[1]), BLOCK),
    )
    return planes


@torch.library.custom_op("dilo::blur_columns", mutates_args=())
def blur_columns(planes: Tensor, table: Tensor) -> Tensor:
    """Blur planes down their columns, those of views that are blurred."""
    blurred = torch.empty_like(planes)
    _blur_columns[_grid(planes)](planes, table, blurred, *_blur_sizes(planes, table), BLOCK)
    return blurred


@torch.library.custom_op("dilo::blur_rows", mutates_args=("result",))
def blur_rows(
    planes: Tensor, table: Tensor, mean: list[float], std: list[float], result: Tensor
) -> None:
    """Blur planes along their rows, those of views that are blurred, and standardise them."""
    _blur_rows[_grid(planes)](
        planes, table, result, *_blur_sizes(planes, table), *mean, *std, BLOCK
    )


@luma_sums.register_fake
def _(images: Tensor, masks: Tensor, pictures: Tensor, table: Tensor, steps: list[int]) -> Tensor:
    return table.new_empty(_grid(images))


@paint.register_fake
def _(
    images: Tensor,
    masks: Tensor,
    pictures: Tensor,
    table: Tensor,
    sums: Tensor,
    steps: list[int],
    mean: list[float],
    std: list[float],
    blurring: bool,
    result: Tensor,
) -> Tensor:
    return table.new_empty(images.shape if blurring else (0,))


@blur_columns.register_fake
def _(planes: Tensor, table: Tensor) -> Tensor:
    return torch.empty_like(planes)


@blur_rows.register_fake
def _(planes: Tensor, table: Tensor, mean: list[float], std: list[float], result: Tensor) -> None:
    return None


def _grid(images: Tensor) -> tuple[int, int]:
    """Count views, and the blocks of a view."""
    return len(images), triton.cdiv(images.shape[2] * images.shape[3], BLOCK)


def _sizes(images: Tensor, pictures: Tensor, table: Tensor) -> tuple[int, ...]:
    """Return heights and widths of views and pictures, and the columns of the table."""
    return *images.shape[2:], *pictures.shape[2:], table.shape[1]


def _blur_sizes(planes: Tensor, table: Tensor) -> tuple[int, ...]:
    """Return height and width of planes, the columns of the table, and the reach of a blur."""
    return *planes.shape[2:], table.shape[1], table.shape[1] - columns.TAPS - 1


def _two(steps: list[int]) -> tuple[int, int]:
    """Fill up with steps that do nothing."""
    first, second = (*steps, 0, 0)[:2]
    return first, second


@triton.jit
def _pixel(images, pixels, plane, inside):
    """Read some pixels of a plane, in [0, 1]."""
    return tl.load(images + plane + pixels, mask=inside, other=0).to(tl.float32) / 255


@triton.jit
def _lerp(start, end, weight):
    """Mix two numbers; at weight 1 it is the end exactly, as torch.lerp has it."""
    difference = end - start
    return tl.where(weight < 0.5, start + weight * difference, end - difference * (1 - weight))


@triton.jit
def _bilinear(picture, top, bottom, left, right, down, across, inside):
    """Mix four pixels of a channel of a picture, in [0, 1]."""
    upper_left = tl.load(picture + top + left, mask=inside, other=0).to(tl.float32)
    upper_right = tl.load(picture + top + right, mask=inside, other=0).to(tl.float32)
    lower_left = tl.load(picture + bottom + left, mask=inside, other=0).to(tl.float32)
    lower_right = tl.load(picture + bottom + right, mask=inside, other=0).to(tl.float32)
    upper = upper_left + across * (upper_right - upper_left)
    lower = lower_left + across * (lower_right - lower_left)
    return (upper + down * (lower - upper)) / 255


@triton.jit
def _start(
    images, masks, pictures, row, view, pixels, inside, height, width, picture_height, picture_width
):
    """Read some pixels of a view, pasted on what lies behind it."""
    area = height * width
    plane = view.to(tl.int64) * 3 * area
    red = _pixel(images, pixels, plane, inside)
    green = _pixel(images, pixels, plane + area, inside)
    blue = _pixel(images, pixels, plane + 2 * area, inside)
    mask = tl.load(row + MASK)
    if mask >= 0:
        alpha = _pixel(masks, pixels, mask.to(tl.int64) * area, inside)
        picture = tl.load(row + PICTURE)
        if picture < 0:
            level = tl.load(row + LEVEL)
            red = _lerp(level, red, alpha)
            green = _lerp(level, green, alpha)
            blue = _lerp(level, blue, alpha)
        else:
            y = (pixels // width).to(tl.float32) + 0.5
            x = (pixels % width).to(tl.float32) + 0.5
            y = tl.load(row + TOP) + y * (tl.load(row + TALL) / height) - 0.5
            x = tl.load(row + LEFT) + x * (tl.load(row + WIDE) / width) - 0.5
            first_y = tl.floor(y).to(tl.int32)
            first_x = tl.floor(x).to(tl.int32)
            down = y - first_y.to(tl.float32)
            across = x - first_x.to(tl.float32)
            top = tl.minimum(tl.maximum(first_y, 0), picture_height - 1) * picture_width
            bottom = tl.minimum(tl.maximum(first_y + 1, 0), picture_height - 1) * picture_width
            left = tl.minimum(tl.maximum(first_x, 0), picture_width - 1)
            right = tl.minimum(tl.maximum(first_x + 1, 0), picture_width - 1)
            size = picture_height * picture_width
            behind = pictures + picture.to(tl.int64) * 3 * size
            red = _lerp(
                _bilinear(behind, top, bottom, left, right, down, across, inside), red, alpha
            )
            green = _lerp(
                _bilinear(behind + size, top, bottom, left, right, down, across, inside),
                green,
                alpha,
            )
            blue = _lerp(
                _bilinear(behind + 2 * size, top, bottom, left, right, down, across, inside),
                blue,
                alpha,
            )
    return red, green, blue


@triton.jit
def _luma(red, green, blue):
    """Mix colours to the luma of ITU-R BT.601, with torchvision's weights."""
    return 0.2989 * red + 0.587 * green + 0.114 * blue


@triton.jit
def _unit(value):
    """Keep numbers in [0, 1]."""
    return tl.minimum(tl.maximum(value, 0.0), 1.0)


@triton.jit
def _fall(angle):
    """Return the trapezoid of a hue: 0 for a third of the circle, 1 for a third."""
    # How far from its middle, the shorter way round.
    return _unit(2 - tl.abs(angle - 6 * tl.floor(angle / 6 + 0.5)))


@triton.jit
def _operation(red, green, blue, row, position, mean):
    """Do the operation of the jitter at a position, if it changes anything."""
    code = tl.load(row + ORDER + position)
    factor = tl.load(row + FACTOR + position)
    turn = tl.load(row + TURN)
    if factor != 1:
        addend = tl.zeros_like(red)
        if code == CONTRAST:
            addend += (1 - factor) * mean
        if code == SATURATION:
            addend += (1 - factor) * _luma(red, green, blue)
        red = _unit(red * factor + addend)
        green = _unit(green * factor + addend)
        blue = _unit(blue * factor + addend)
    elif (code == HUE) & (turn != 0):
        value = tl.maximum(tl.maximum(red, green), blue)
        chroma = value - tl.minimum(tl.minimum(red, green), blue)
        # Of gray, which has no hue, the chroma is 0.
        share = tl.maximum(chroma, 1e-12)
        # In sixths of a turn; red is 0, green 2, blue 4.
        hue = tl.where(value == green, (blue - red) / share + 2, (red - green) / share + 4)
        hue = tl.where(value == red, (green - blue) / share, hue) + turn
        red = value - chroma * _fall(hue + 3)
        green = value - chroma * _fall(hue + 1)
        blue = value - chroma * _fall(hue - 1)
    return red, green, blue


@triton.jit
def _drop_colours(red, green, blue, row):
    """Make a view gray that has to be."""
    if tl.load(row + GRAYED) > 0:
        luma = _luma(red, green, blue)
        red, green, blue = luma, luma, luma
    return red, green, blue


@triton.jit
def _luma_sums(
    images,
    masks,
    pictures,
    table,
    sums,
    height,
    width,
    picture_height,
    picture_width,
    columns,
    first: tl.constexpr,
    second: tl.constexpr,
    block: tl.constexpr,
):
    """Sum the luma of a block of a view, as it is where its contrast has its turn."""
    view, part = tl.program_id(0), tl.program_id(1)
    row = table + view * columns
    contrast = 0
    for position in range(4):
        is_contrast = tl.load(row + ORDER + position) == CONTRAST
        contrast += (is_contrast & (tl.load(row + FACTOR + position) != 1)).to(tl.int32)
    if (contrast > 0) & ((first == 1) | (second == 1)):
        pixels = part * block + tl.arange(0, block)
        inside = pixels < height * width
        red, green, blue = _start(
            images,
            masks,
            pictures,
            row,
            view,
            pixels,
            inside,
            height,
            width,
            picture_height,
            picture_width,
        )
        if first == 2:
            red, green, blue = _drop_colours(red, green, blue, row)
        luma = _luma(red, green, blue)
        done = 0
        for position in range(4):
            if tl.load(row + ORDER + position) == CONTRAST:
                luma = _luma(red, green, blue)
                done = 1
            if done == 0:
                red, green, blue = _operation(red, green, blue, row, position, 0.0)
        total = tl.sum(tl.where(inside, luma, 0.0))
        tl.store(sums + view * tl.num_programs(1) + part, total)


@triton.jit
def _paint(
    images,
    masks,
    pictures,
    table,
    sums,
    planes,
    result,
    parts,
    height,
    width,
    picture_height,
    picture_width,
    columns,
    red_mean,
    green_mean,
    blue_mean,
    red_std,
    green_std,
    blue_std,
    first: tl.constexpr,
    second: tl.constexpr,
    blurring: tl.constexpr,
    lanes: tl.constexpr,
    block: tl.constexpr,
):
    """Paste and colour a block of a view; standardise it, unless it is still to be blurred."""
    view, part = tl.program_id(0), tl.program_id(1)
    row = table + view * columns
    pixels = part * block + tl.arange(0, block)
    area = height * width
    inside = pixels < area
    red, green, blue = _start(
        images,
        masks,
        pictures,
        row,
        view,
        pixels,
        inside,
        height,
        width,
        picture_height,
        picture_width,
    )
    if first == 2:
        red, green, blue = _drop_colours(red, green, blue, row)
    if (first == 1) | (second == 1):
        # Of a view whose contrast stays, what is read here is never used.
        lane = tl.arange(0, lanes)
        part_sums = tl.load(sums + view * parts + lane, mask=lane < parts, other=0.0)
        mean = tl.sum(part_sums) / area
        for position in range(4):
            red, green, blue = _operation(red, green, blue, row, position, mean)
    if second == 2:
        red, green, blue = _drop_colours(red, green, blue, row)
    blurred = False
    if blurring:
        blurred = tl.load(row + TAPS) < 1
    start = view.to(tl.int64) * 3 * area
    if blurred:
        tl.store(planes + start + pixels, red, mask=inside)
        tl.store(planes + start + area + pixels, green, mask=inside)
        tl.store(planes + start + 2 * area + pixels, blue, mask=inside)
    else:
        out = result + start + 3 * pixels
        tl.store(out, (red - red_mean) / red_std, mask=inside)
        tl.store(out + 1, (green - green_mean) / green_std, mask=inside)
        tl.store(out + 2, (blue - blue_mean) / blue_std, mask=inside)


@triton.jit
def _blurred(plane, row, pixels, place, step, last, radius, inside):
    """Blur some pixels of a plane along a line, whose pixels lie a step apart."""
    total = tl.load(plane + pixels, mask=inside, other=0) * tl.load(row + TAPS)
    for reach in range(1, radius + 1):
        tap = tl.load(row + TAPS + reach)
        before = pixels - tl.minimum(place, reach) * step
        after = pixels + tl.minimum(last - place, reach) * step
        both = tl.load(plane + before, mask=inside, other=0)
        both += tl.load(plane + after, mask=inside, other=0)
        total += both * tap
    return total


@triton.jit
def _blur_columns(planes, table, blurred, height, width, columns, radius, block: tl.constexpr):
    """Blur a block of a view down the columns."""
    view, part = tl.program_id(0), tl.program_id(1)
    row = table + view * columns
    if tl.load(row + TAPS) < 1:
        pixels = part * block + tl.arange(0, block)
        area = height * width
        inside = pixels < area
        start = view.to(tl.int64) * 3 * area
        for channel in range(3):
            plane = planes + start + channel * area
            value = _blurred(plane, row, pixels, pixels // width, width, height - 1, radius, inside)
            tl.store(blurred + start + channel * area + pixels, value, mask=inside)


@triton.jit
def _blur_rows(
    planes,
    table,
    result,
    height,
    width,
    columns,
    radius,
    red_mean,
    green_mean,
    blue_mean,
    red_std,
    green_std,
    blue_std,
    block: tl.constexpr,
):
    """Blur a block of a view along the rows, and standardise it."""
    view, part = tl.program_id(0), tl.program_id(1)
    row = table + view * columns
    if tl.load(row + TAPS) < 1:
        pixels = part * block + tl.arange(0, block)
        area = height * width
        inside = pixels < area
        start = view.to(tl.int64) * 3 * area
        plane = planes + start
        place = pixels % width
        out = result + start + 3 * pixels
        red = _blurred(plane, row, pixels, place, 1, width - 1, radius, inside)
        tl.store(out, (red - red_mean) / red_std, mask=inside)
        green = _blurred(plane + area, row, pixels, place, 1, width - 1, radius, inside)
        tl.store(out + 1, (green - green_mean) / green_std, mask=inside)
        blue = _blurred(plane + 2 * area, row, pixels, place, 1, width - 1, radius, inside)
        tl.store(out + 2, (blue - blue_mean) / blue_std, mask=inside)
