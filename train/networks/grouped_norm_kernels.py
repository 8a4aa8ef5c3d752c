"""Batch norm of each of some groups on a GPU: three Triton kernels each way, for any number.

Values in channels-last layout are a matrix, a row a pixel and a column a channel, and a group is a
block of consecutive rows. Each way, a first kernel reduces parts of the groups' columns, a second
joins the parts, always in one order, and a third computes the values. All is in float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Values that a program holds at once.
TILE = 4096
#: Channels of them at most: 128 bytes or more lie together.
CHANNELS = 64
#: Programs that keep a large GPU busy.
PROGRAMS = 1024


@triton.jit
def _reduce_moments(
    values, parts, rows, channels, part_rows, TALL: tl.constexpr, WIDE: tl.constexpr
):
    """Compute mean and sum of squared deviations of a part of a group: (2, G, parts, C)."""
    part, group, column = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    columns = column * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    first = part * part_rows
    last = tl.minimum(first + part_rows, rows)
    base = values + group.to(tl.int64) * rows * channels
    count = 0.0
    mean = tl.zeros((WIDE,), tl.float32)
    deviation = tl.zeros((WIDE,), tl.float32)
    for start in range(first, last, TALL):
        row = start + tl.arange(0, TALL)
        mask = (row < last)[:, None] & inside[None, :]
        offsets = row.to(tl.int64)[:, None] * channels + columns[None, :]
        tile = tl.load(base + offsets, mask=mask, other=0.0).to(tl.float32)
        added = tl.minimum(last - start, TALL).to(tl.float32)
        tile_mean = tl.sum(tile, axis=0) / added
        apart = tl.where(mask, tile - tile_mean[None, :], 0.0)
        total = count + added
        step = tile_mean - mean
        deviation += tl.sum(apart * apart, axis=0) + step * step * (count * added / total)
        mean += step * (added / total)
        count = total
    place = parts + (group * tl.num_programs(0) + part) * channels + columns
    tl.store(place, mean, mask=inside)
    tl.store(place + tl.num_programs(1) * tl.num_programs(0) * channels, deviation, mask=inside)


@triton.jit
def _join_moments(
    parts,
    means,
    invstds,
    batch_mean,
    batch_variance,
    groups,
    count,
    rows,
    channels,
    part_rows,
    eps,
    WIDE: tl.constexpr,
):
    """Join the moments of parts to those of groups, (G, C), and average over the groups, (C,)."""
    columns = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    mean_of_groups = tl.zeros((WIDE,), tl.float32)
    variance_of_groups = tl.zeros((WIDE,), tl.float32)
    for group in range(groups):
        before = 0.0
        mean = tl.zeros((WIDE,), tl.float32)
        deviation = tl.zeros((WIDE,), tl.float32)
        for part in range(count):
            place = parts + (group * count + part) * channels + columns
            added = tl.minimum(rows - part * part_rows, part_rows).to(tl.float32)
            total = before + added
            step = tl.load(place, mask=inside, other=0.0) - mean
            other = tl.load(place + groups * count * channels, mask=inside, other=0.0)
            deviation += other + step * step * (before * added / total)
            mean += step * (added / total)
            before = total
        tl.store(means + group * channels + columns, mean, mask=inside)
        invstd = 1.0 / tl.sqrt(deviation / rows + eps)
        tl.store(invstds + group * channels + columns, invstd, mask=inside)
        mean_of_groups += mean / groups
        variance_of_groups += deviation / (rows - 1) / groups
    tl.store(batch_mean + columns, mean_of_groups, mask=inside)
    tl.store(batch_variance + columns, variance_of_groups, mask=inside)


@triton.jit
def _normalise(
    values,
    result,
    means,
    invstds,
    weight,
    bias,
    rows,
    channels,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Normalise, scale and shift a tile."""
    group, column = tl.program_id(1), tl.program_id(2)
    row = tl.program_id(0) * TALL + tl.arange(0, TALL)
    columns = column * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    mask = (row < rows)[:, None] & inside[None, :]
    offsets = (group.to(tl.int64) * rows + row)[:, None] * channels + columns[None, :]
    mean = tl.load(means + group * channels + columns, mask=inside, other=0.0)
    invstd = tl.load(invstds + group * channels + columns, mask=inside, other=0.0)
    scale = invstd * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    tile = tl.load(values + offsets, mask=mask, other=0.0).to(tl.float32)
    normal = (tile - mean[None, :]) * scale[None, :] + shift[None, :]
    tl.store(result + offsets, normal.to(result.dtype.element_ty), mask=mask)


@triton.jit
def _reduce_gradients(
    gradient,
    values,
    means,
    invstds,
    parts,
    rows,
    channels,
    part_rows,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Sum a part of a group's gradients, and of them times what they are of: (2, G, parts, C)."""
    part, group, column = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    columns = column * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    first = part * part_rows
    last = tl.minimum(first + part_rows, rows)
    base = group.to(tl.int64) * rows * channels
    mean = tl.load(means + group * channels + columns, mask=inside, other=0.0)
    of_shift = tl.zeros((WIDE,), tl.float32)
    of_scale = tl.zeros((WIDE,), tl.float32)
    for start in range(first, last, TALL):
        row = start + tl.arange(0, TALL)
        mask = (row < last)[:, None] & inside[None, :]
        offsets = base + row.to(tl.int64)[:, None] * channels + columns[None, :]
        slope = tl.load(gradient + offsets, mask=mask, other=0.0).to(tl.float32)
        tile = tl.load(values + offsets, mask=mask, other=0.0).to(tl.float32)
        of_shift += tl.sum(slope, axis=0)
        of_scale += tl.sum(slope * (tile - mean[None, :]), axis=0)
    invstd = tl.load(invstds + group * channels + columns, mask=inside, other=0.0)
    place = parts + (group * tl.num_programs(0) + part) * channels + columns
    tl.store(place, of_shift, mask=inside)
    of_scale = of_scale * invstd
    tl.store(place + tl.num_programs(1) * tl.num_programs(0) * channels, of_scale, mask=inside)


@triton.jit
def _join_gradients(parts, sums, of_weight, of_bias, groups, count, channels, WIDE: tl.constexpr):
    """Join the sums of parts to those of groups, (2, G, C), and to the gradients of weights."""
    columns = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    all_shift = tl.zeros((WIDE,), tl.float32)
    all_scale = tl.zeros((WIDE,), tl.float32)
    for group in range(groups):
        of_shift = tl.zeros((WIDE,), tl.float32)
        of_scale = tl.zeros((WIDE,), tl.float32)
        for part in range(count):
            place = parts + (group * count + part) * channels + columns
            of_shift += tl.load(place, mask=inside, other=0.0)
            of_scale += tl.load(place + groups * count * channels, mask=inside, other=0.0)
        place = sums + group * channels + columns
        tl.store(place, of_shift, mask=inside)
        tl.store(place + groups * channels, of_scale, mask=inside)
        all_shift += of_shift
        all_scale += of_scale
    tl.store(of_weight + columns, all_scale.to(of_weight.dtype.element_ty), mask=inside)
    tl.store(of_bias + columns, all_shift.to(of_bias.dtype.element_ty), mask=inside)


@triton.jit
def _differentiate(
    gradient,
    values,
    result,
    means,
    invstds,
    sums,
    weight,
    rows,
    channels,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Compute the gradient of a tile of values."""
    group, column = tl.program_id(1), tl.program_id(2)
    row = tl.program_id(0) * TALL + tl.arange(0, TALL)
    columns = column * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    mask = (row < rows)[:, None] & inside[None, :]
    offsets = (group.to(tl.int64) * rows + row)[:, None] * channels + columns[None, :]
    place = group * channels + columns
    mean = tl.load(means + place, mask=inside, other=0.0)
    invstd = tl.load(invstds + place, mask=inside, other=0.0)
    of_shift = tl.load(sums + place, mask=inside, other=0.0) / rows
    of_scale = tl.load(sums + tl.num_programs(1) * channels + place, mask=inside, other=0.0) / rows
    scale = invstd * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    slope = tl.load(gradient + offsets, mask=mask, other=0.0).to(tl.float32)
    tile = tl.load(values + offsets, mask=mask, other=0.0).to(tl.float32)
    normal = (tile - mean[None, :]) * invstd[None, :]
    of_tile = (slope - of_shift[None, :] - normal * of_scale[None, :]) * scale[None, :]
    tl.store(result + offsets, of_tile.to(result.dtype.element_ty), mask=mask)


class _Cut:
    """How the matrix of a batch is cut into tiles and parts."""

    def __init__(self, values: Tensor, groups: int) -> None:
        self.channels = values.shape[1]
        self.rows = values.numel() // self.channels // groups  # of a group
        self.wide = min(triton.next_power_of_2(self.channels), CHANNELS)
        self.tall = TILE // self.wide
        columns, tiles = triton.cdiv(self.channels, self.wide), triton.cdiv(self.rows, self.tall)
        parts = min(tiles, max(1, PROGRAMS // (groups * columns)))
        self.part_rows = triton.cdiv(tiles, parts) * self.tall
        self.parts = triton.cdiv(self.rows, self.part_rows)
        self.by_part = (self.parts, groups, columns)
        self.by_tile = (tiles, groups, columns)
        self.by_column = (columns,)


def forward(
    values: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, ...]:
    """Compute what `grouped_norm.forward_by_loop` does, of values whose channels lie together."""
    cut, channels = _Cut(values, groups), len(weight)
    result = torch.empty_like(values)
    parts = values.new_empty(2, groups, cut.parts, channels, dtype=torch.float32)
    means, invstds = parts.new_empty(groups, channels), parts.new_empty(groups, channels)
    mean, variance = parts.new_empty(channels), parts.new_empty(channels)
    rows, tile = cut.rows, (cut.tall, cut.wide)
    _reduce_moments[cut.by_part](values, parts, rows, channels, cut.part_rows, *tile)
    statistics = means, invstds, mean, variance
    _join_moments[cut.by_column](
        parts, *statistics, groups, cut.parts, rows, channels, cut.part_rows, eps, cut.wide
    )
    _normalise[cut.by_tile](values, result, means, invstds, weight, bias, rows, channels, *tile)
    return result, *statistics


def backward(
    gradient: Tensor, values: Tensor, weight: Tensor, means: Tensor, invstds: Tensor
) -> tuple[Tensor, ...]:
    """Compute what `grouped_norm.backward_by_loop` does, of values whose channels lie together."""
    groups, channels = means.shape
    cut = _Cut(values, groups)
    result = torch.empty_like(values)
    gradient = result.copy_(gradient) if gradient.stride() != values.stride() else gradient
    of_weight, of_bias = torch.empty_like(weight), torch.empty_like(weight)
    parts = means.new_empty(2, groups, cut.parts, channels)
    sums = means.new_empty(2, groups, channels)
    rows, tile = cut.rows, (cut.tall, cut.wide)
    _reduce_gradients[cut.by_part](
        gradient, values, means, invstds, parts, rows, channels, cut.part_rows, *tile
    )
    _join_gradients[cut.by_column](
        parts, sums, of_weight, of_bias, groups, cut.parts, channels, cut.wide
    )
    _differentiate[cut.by_tile](
        gradient, values, result, means, invstds, sums, weight, rows, channels, *tile
    )
    return result, of_weight, of_bias
