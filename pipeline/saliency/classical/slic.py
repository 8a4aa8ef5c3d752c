"""SLIC superpixels, compiled: k-means of colour and place round the seeds of a grid."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.classical.unions import join, numbered, root_of


def slic(
    image: NDArray[np.uint8], *, count: int, compactness: float, iterations: int, smallest: float
) -> NDArray[np.int32]:
    """Divide an image into superpixels.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    count : int
        How many to aim at; as many seeds come as fit a regular grid.
    compactness : float
        Colour difference, in CIELAB units, that weighs as much as the way to the next seed.
    iterations : int
        Rounds of k-means at most; it ends when no pixel changes.
    smallest : float
        Smaller parts, as a share of the mean area, go to a neighbour.

    Returns
    -------
    ndarray of shape (H, W), int32
        Labels 0 to N - 1, each used, each one connected part.

    References
    ----------
    R. Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods",
    IEEE TPAMI 34(11), 2012; windows, and the first centre for a tie, as in the code that Zhu et
    al. released for CVPR 2014.
    """
    height, width = image.shape[:2]
    step = max(3.0, float(np.sqrt(height * width / count)))
    rows, columns = max(1, int(height / step + 0.5)), max(1, int(width / step + 0.5))
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    planes = np.ascontiguousarray(lab.transpose(2, 0, 1), np.float32)
    labels = _cluster(planes, rows, columns, step, compactness / step, iterations)
    return enforce_connectivity(labels, max(1, int(smallest * height * width / (rows * columns))))


@compiled
def _cluster(
    lab: NDArray[np.float32],
    rows: int,
    columns: int,
    step: float,
    stiffness: float,
    iterations: int,
) -> NDArray[np.int32]:
    """Assign pixels to the nearest centre in reach and move the centres, until they rest."""
    _, height, width = lab.shape
    count = rows * columns
    centers = np.empty((count, 5), np.float32)  # L, a, b, row, column
    for k in range(count):
        r = (k // columns + 0.5) * height / rows
        c = (k % columns + 0.5) * width / columns
        # The mean of the pixels a seed lies between, so that a mirrored image has mirrored seeds.
        r0, r1 = int(np.ceil(r)) - 1, int(np.floor(r))
        c0, c1 = int(np.ceil(c)) - 1, int(np.floor(c))
        for channel in range(3):
            plane = lab[channel]
            total = plane[r0, c0] + plane[r0, c1] + plane[r1, c0] + plane[r1, c1]
            centers[k, channel] = total / np.float32(4)
        centers[k, 3] = r - 0.5
        centers[k, 4] = c - 0.5
    labels = np.full((height, width), -1, np.int32)
    previous = np.empty_like(labels)
    for remaining in range(iterations - 1, -1, -1):  # rounds that are still to come
        previous[:] = labels
        _assign(lab, centers, step, np.float32(stiffness * stiffness), labels)
        if remaining == 0 or np.array_equal(previous, labels):
            break
        _move(lab, labels, centers)
    return labels


@compiled
def _assign(
    lab: NDArray[np.float32],
    centers: NDArray[np.float32],
    step: float,
    stiffness: np.float32,
    labels: NDArray[np.int32],
) -> None:
    """Assign each pixel to the nearest of the centres within a step of it along each axis."""
    _, height, width = lab.shape
    nearest = np.full((height, width), np.float32(np.inf), np.float32)
    along = np.arange(width).astype(np.float32)
    for k in range(len(centers)):
        l0, a0, b0, r0, c0 = centers[k]
        top, bottom = max(0, int(np.ceil(r0 - step))), min(height, int(r0 + step) + 1)
        left, right = max(0, int(np.ceil(c0 - step))), min(width, int(c0 + step) + 1)
        for r in range(top, bottom):
            down = np.float32(r) - r0
            down = down * down
            # Views of one row, so that the inner loop becomes vector instructions.
            light, a, b = lab[0, r, left:right], lab[1, r, left:right], lab[2, r, left:right]
            columns, near, label = along[left:right], nearest[r, left:right], labels[r, left:right]
            for i in range(right - left):
                x = columns[i] - c0
                dl, da, db = light[i] - l0, a[i] - a0, b[i] - b0
                distance = dl * dl + da * da + db * db + stiffness * (down + x * x)
                better = distance < near[i]
                near[i] = distance if better else near[i]
                label[i] = k if better else label[i]


@compiled
def _move(
    lab: NDArray[np.float32], labels: NDArray[np.int32], centers: NDArray[np.float32]
) -> None:
    """Move each centre to the mean of its pixels; one without pixels stays."""
    height, width = labels.shape
    sums = np.zeros((len(centers) + 1, 6))  # the last for pixels in nobody's reach, label -1
    for r in range(height):
        light, a, b, label = lab[0, r], lab[1, r], lab[2, r], labels[r]
        for c in range(width):
            total = sums[label[c]]
            total[0] += light[c]
            total[1] += a[c]
            total[2] += b[c]
            total[3] += r
            total[4] += c
            total[5] += 1
    for k in range(len(centers)):
        if sums[k, 5] > 0:
            for i in range(5):
                centers[k, i] = sums[k, i] / sums[k, 5]


@compiled
def enforce_connectivity(labels: NDArray[np.int32], smallest: int) -> NDArray[np.int32]:
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
    merged, unfinished = _merge_small_parts(labels, smallest)
    while unfinished:  # a part may have joined one that it encloses, and both still be too small
        merged, unfinished = _merge_small_parts(merged, smallest)
    return merged


@compiled
def _merge_small_parts(labels: NDArray[np.int32], smallest: int) -> tuple[NDArray[np.int32], bool]:
    """Let each part that is too small join a neighbour; also return whether one is left to."""
    starts, part_of_run, size = _parts(labels)
    joined = np.arange(len(size))
    if size.min() < smallest:
        parts = _painted(labels.shape, starts, part_of_run)
        _join_small_parts(parts, starts, part_of_run, size, smallest, joined)
    roots = joined == np.arange(len(joined))
    unfinished = roots.sum() > 1 and size[roots].min() < smallest
    return _painted(labels.shape, starts, numbered(joined)[part_of_run]), unfinished


@compiled
def _join_small_parts(
    parts: NDArray[np.int32],
    starts: NDArray[np.int64],
    part_of_run: NDArray[np.int64],
    size: NDArray[np.int64],
    smallest: int,
    joined: NDArray[np.int64],
) -> None:
    """Note in `joined` what each part that is too small becomes a part of, and add their sizes."""
    height, width = parts.shape
    # A border that belongs to nothing spares every look at a neighbour a test for the edge.
    padded = np.full((height + 2, width + 2), -1, np.int32)
    padded[1:-1, 1:-1] = parts
    flat = padded.ravel()
    first_run, next_run = _run_lists(part_of_run, len(size))
    border = np.zeros(len(size), np.int64)
    beside = np.empty(4 * smallest, np.int64)  # of each side of each pixel, what lies there
    for part in range(len(size)):
        root = root_of(joined, part)
        if size[root] >= smallest:
            continue
        end, run = 0, first_run[part]
        while run >= 0:
            for pixel in range(starts[run], starts[run + 1]):
                here = pixel + 2 * (pixel // width) + width + 3  # inside the border
                for side in (-1, 1, -width - 2, width + 2):
                    if flat[here + side] >= 0:
                        beside[end] = root_of(joined, flat[here + side])
                        border[beside[end]] += 1
                        end += 1
            run = next_run[run]
        border[root] = 0
        best, longest = -1, 0
        for other in beside[:end]:
            length = border[other]
            border[other] = 0  # which also leaves the counts at 0 for the next part
            if length > longest or (length == longest > 0 and other < best):
                best, longest = other, length
        if best >= 0:
            joined[root] = best
            size[best] += size[root]


@compiled
def _parts(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count off the connected parts in the order of their first pixels.

    Returns where the runs of one label begin, pixel by pixel and row by row, and at last the
    number of pixels; the part of each run; and the pixels of each part.
    """
    height, width = labels.shape
    starts = np.empty(height * width + 1, np.int64)
    joined = np.empty(height * width, np.int64)
    count, above = 0, 0  # runs, and the first one in the row above that reaches to here
    for r in range(height):
        row = labels[r]
        last_row, first = above, count
        for c in range(width):
            if c == 0 or row[c] != row[c - 1]:
                starts[count], joined[count] = r * width + c, count
                count += 1
        if r > 0:
            _join_rows(labels[r - 1], row, starts, joined, last_row, first, count)
        above = first
    starts[count] = height * width
    part_of_run = numbered(joined[:count])
    size = np.zeros(part_of_run.max() + 1, np.int64)
    for run in range(count):
        size[part_of_run[run]] += starts[run + 1] - starts[run]
    return starts[: count + 1], part_of_run, size


@compiled
def _join_rows(
    above: NDArray[np.int32],
    row: NDArray[np.int32],
    starts: NDArray[np.int64],
    joined: NDArray[np.int64],
    upper: int,
    first: int,
    end: int,
) -> None:
    """Join the runs of a row, `first` to `end`, with those above, from `upper` on, of one label."""
    width = len(row)
    base = starts[first]
    run = first
    while upper < first and run < end:
        upper_end = starts[upper + 1] - base + width  # in columns, as the next
        run_end = starts[run + 1] - base if run + 1 < end else width
        if above[upper_end - 1] == row[run_end - 1]:
            join(joined, upper, run)
        if upper_end <= run_end:
            upper += 1
        if run_end <= upper_end:
            run += 1


@compiled
def _painted(
    shape: tuple[int, int], starts: NDArray[np.int64], values: NDArray[Any]
) -> NDArray[np.int32]:
    """Give each pixel the value of its run."""
    pixels = np.empty(shape[0] * shape[1], np.int32)
    for run in range(len(values)):
        value = values[run]
        for pixel in range(starts[run], starts[run + 1]):
            pixels[pixel] = value
    return pixels.reshape(shape)


@compiled
def _run_lists(
    part_of_run: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Chain the runs of each part: its first one, and the next after each, or -1."""
    first_run, next_run = np.full(count, -1), np.empty(len(part_of_run), np.int64)
    for run in range(len(part_of_run) - 1, -1, -1):
        next_run[run] = first_run[part_of_run[run]]
        first_run[part_of_run[run]] = run
    return first_run, next_run
