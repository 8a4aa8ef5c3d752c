"""Superpixels: an image into patches of one colour, and what is known of each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab
from skimage.segmentation import slic

# XYZ to linear RGB of the released colour conversion, inverted; and its white point.
_RGB_TO_XYZ = np.linalg.inv(
    [
        [3.240479, -1.53715, -0.498535],
        [-0.969256, 1.875992, 0.041556],
        [0.055648, -0.204043, 1.057311],
    ]
)
_WHITE = np.array([0.950456, 1.0, 1.088754])


@dataclass(frozen=True)
class Superpixels:
    """What the methods know of N superpixels.

    Attributes
    ----------
    labels : ndarray of shape (H, W), intp
        Superpixel of each pixel, 0 to N - 1, none empty.
    lab : ndarray of shape (N, 3), float64
        CIELAB of the mean RGB.
    position : ndarray of shape (N, 2), float64
        Mean row and column, each in units of the image's own side, in (0, 1].
    on_boundary : ndarray of shape (N,), bool
        Whether a pixel lies in the band along the image's edges.
    """

    labels: NDArray[np.intp]
    lab: NDArray[np.float64]
    position: NDArray[np.float64]
    on_boundary: NDArray[np.bool_]


def segment(
    image: NDArray[np.uint8], *, count: int, compactness: float, smallest: float
) -> NDArray[np.intp]:
    """Divide an image into superpixels by SLIC.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    count : int
        How many to aim at; as many come as fit a regular grid and the image.
    compactness : float
        Colour difference, in CIELAB units, that weighs as much as the way to the next seed.
    smallest : float
        Smaller parts, as a share of the mean area, go to a neighbour.

    Returns
    -------
    ndarray of shape (H, W), intp
        Labels 0 to N - 1, each used.

    References
    ----------
    R. Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods",
    IEEE TPAMI 34(11), 2012.
    """
    # Single precision: a quarter less time, and colours come in 256 steps anyway.
    lab = rgb2lab(image.astype(np.float32) / 255)
    # slic stretches what it is given to [0, 1], which would make noise of a picture without
    # contrast: the compactness follows, and so stays in CIELAB units.
    spread = float(lab.max() - lab.min()) or 1.0
    labels: NDArray[np.intp] = slic(
        lab,
        n_segments=count,
        compactness=compactness / spread,
        convert2lab=False,
        min_size_factor=smallest,
        max_size_factor=16,  # the square that a seed looks at: no superpixel is cut
        start_label=0,
    )
    numbers = np.cumsum(np.bincount(labels.ravel()) > 0) - 1
    return numbers[labels]


def describe(image: NDArray[np.uint8], labels: NDArray[np.intp], *, band: int) -> Superpixels:
    """Measure colour, position and boundary of superpixels.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    labels : ndarray of shape (H, W), intp
        Superpixel of each pixel, 0 to N - 1, none empty.
    band : int
        Width in pixels, at least 1, of the band along the edges that is the boundary.

    Returns
    -------
    Superpixels
        One entry a label.
    """
    height, width = labels.shape
    flat = labels.ravel()
    pixels = np.bincount(flat)
    rows, columns = np.indices(labels.shape).reshape(2, -1) + 1  # the release counts from 1

    def mean(values: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.bincount(flat, weights=values) / pixels

    rgb = np.stack([mean(image[..., channel].ravel()) for channel in range(3)], axis=1) / 255
    inside = np.ones(labels.shape, bool)
    inside[band : height - band, band : width - band] = False
    on_boundary = np.zeros(len(pixels), bool)
    on_boundary[labels[inside]] = True
    position = np.stack([mean(rows) / height, mean(columns) / width], axis=1)
    return Superpixels(labels, rgb_to_lab(rgb), position, on_boundary)


def rgb_to_lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert RGB to CIELAB as the released code does, with Rec. 709's transfer function.

    Parameters
    ----------
    rgb : ndarray of shape (N, 3), float64
        RGB in [0, 1].

    Returns
    -------
    ndarray of shape (N, 3), float64
        Lightness in [0, 100], and a and b.
    """
    linear = ((rgb + 0.099) / 1.099) ** (1 / 0.45)
    linear = np.where(linear < 0.018, rgb / 4.5138, linear)
    # Element by element: a matrix product's rounding may depend on the number of rows.
    xyz = (linear[:, np.newaxis, :] * _RGB_TO_XYZ).sum(axis=2) / _WHITE
    x, y, z = np.where(xyz < 0.008856, xyz * 841 / 108 + 4 / 29, np.cbrt(xyz)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
