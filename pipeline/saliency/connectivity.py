"""Make superpixels connected: parts too small go to the neighbour they share most border with."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.compiled import compiled


@compiled
def connected(labels: NDArray[np.int32], smallest: int) -> NDArray[np.int32]:
    """Relabel so that each label is one connected part, none of them too small.

    Parameters
    ----------
    labels : ndarray of shape (H, W), int32
        Any labels from -1 up.
    smallest : int
        Parts of fewer pixels join, in the order of their first pixels, the part that they
        share the longest border with; of several, the first.

    Returns
    -------
    ndarray of shape (H, W), int32
        Labels 0 to N - 1 in the order of their first pixel, each connected through sides of
        pixels.
    """
    joined, left = _joined(labels, smallest)
    while left:  # a part may have joined one that it encloses, and both still be too small
        joined, left = _joined(joined, smallest)
    return joined


@compiled
def _joined(labels: NDArray[np.int32], smallest: int) -> tuple[NDArray[np.int32], bool]:
    """Let each part that is too small join a neighbour; tell whether one is left to do so."""
    height, width = labels.shape
    # A border that belongs to nothing spares every look at a neighbour a test for the edge.
    padded = np.full((height + 2, width + 2), -2, np.int32)
    padded[1:-1, 1:-1] = labels
    parts, order, starts = _parts(padded.ravel(), width + 2)
    sides = (-1, 1, -width - 2, width + 2)
    size = np.diff(starts)
    joined = np.arange(len(size))
    border = np.zeros(len(size), np.int64)
    for part in range(len(size)):
        here = _root(joined, part)
        if size[here] >= smallest:
            continue
        pixels = order[starts[part] : starts[part + 1]]
        for pixel in pixels:
            for side in sides:
                if parts[pixel + side] >= 0:
                    border[_root(joined, parts[pixel + side])] += 1
        border[here] = 0
        best, longest = -1, 0
        for pixel in pixels:  # once more, which also leaves the counts at 0 for the next part
            for side in sides:
                if parts[pixel + side] < 0:
                    continue
                other = _root(joined, parts[pixel + side])
                length = border[other]
                border[other] = 0
                if length > longest or (length == longest > 0 and other < best):
                    best, longest = other, length
        if best >= 0:
            joined[here] = best
            size[best] += size[here]
    roots = joined == np.arange(len(joined))
    left = roots.sum() > 1 and size[roots].min() < smallest
    return _renumbered(parts.reshape(height + 2, width + 2)[1:-1, 1:-1], joined), left


@compiled
def _parts(
    labels: NDArray[np.int32], stride: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Count off the connected parts; list their pixels, one part after the other."""
    parts = np.full(len(labels), -1, np.int32)
    order = np.empty(len(labels), np.int32)
    starts = np.empty(len(labels) + 1, np.int64)
    count, end = 0, 0
    for first in range(len(labels)):
        label = labels[first]
        if parts[first] >= 0 or label == -2:
            continue
        starts[count] = end
        parts[first], order[end] = count, first
        current, end = end, end + 1
        while current < end:
            pixel = order[current]
            current += 1
            for side in (-1, 1, -stride, stride):
                other = pixel + side
                if labels[other] == label and parts[other] < 0:
                    parts[other], order[end] = count, other
                    end += 1
        count += 1
    starts[count] = end
    return parts, order, starts[: count + 1]


@compiled
def _root(joined: NDArray[np.int64], part: int) -> int:
    """Follow a part to the one that it has become a part of."""
    while joined[part] != part:
        joined[part] = joined[joined[part]]  # halves the way for whoever asks next
        part = joined[part]
    return part


@compiled
def _renumbered(parts: NDArray[np.int32], joined: NDArray[np.int64]) -> NDArray[np.int32]:
    """Give numbers to what parts have become in the order of first pixels, which is theirs."""
    number = np.full(len(joined), -1, np.int32)
    count = 0
    for part in range(len(joined)):
        root = _root(joined, part)
        if number[root] < 0:
            number[root] = count
            count += 1
        number[part] = number[root]
    labels = np.empty(parts.shape, np.int32)
    for row in range(parts.shape[0]):
        for column in range(parts.shape[1]):
            labels[row, column] = number[parts[row, column]]
    return labels
