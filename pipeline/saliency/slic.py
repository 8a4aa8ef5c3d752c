"""SLIC superpixels, compiled: k-means of colour and place round the seeds of a grid."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.compiled import compiled
from dilo.pipeline.saliency.connectivity import connected


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
    return connected(labels, max(1, int(smallest * height * width / (rows * columns))))


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
    before = np.empty_like(labels)
    for rest in range(iterations - 1, -1, -1):  # rounds that are still to come
        before[:] = labels
        _assign(lab, centers, step, np.float32(stiffness * stiffness), labels)
        if rest == 0 or np.array_equal(before, labels):
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
    """Give each pixel to the nearest of the centres within a step of it along each axis."""
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
            place, near, label = along[left:right], nearest[r, left:right], labels[r, left:right]
            for i in range(right - left):
                x = place[i] - c0
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
    sums = np.zeros((len(centers), 6))
    for r in range(height):
        c = 0
        while c < width:  # a run of one label at a time
            k = labels[r, c]
            light, a, b, x, n = 0.0, 0.0, 0.0, 0, 0
            while c < width and labels[r, c] == k:
                light += lab[0, r, c]
                a += lab[1, r, c]
                b += lab[2, r, c]
                x += c
                n += 1
                c += 1
            if k >= 0:
                sums[k, 0] += light
                sums[k, 1] += a
                sums[k, 2] += b
                sums[k, 3] += r * n
                sums[k, 4] += x
                sums[k, 5] += n
    for k in range(len(centers)):
        if sums[k, 5] > 0:
            for i in range(5):
                centers[k, i] = sums[k, i] / sums[k, 5]
