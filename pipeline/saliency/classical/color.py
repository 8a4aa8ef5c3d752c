"""Mean colours of superpixels in the spaces that the released codes compare them in."""

import numpy as np
from numpy.typing import NDArray

# XYZ to linear RGB of the released conversion, inverted; and its white point.
_RGB_TO_XYZ = np.asarray(
    np.linalg.inv(
        [
            [3.240479, -1.53715, -0.498535],
            [-0.969256, 1.875992, 0.041556],
            [0.055648, -0.204043, 1.057311],
        ]
    ),
    np.float64,
)
_WHITE = np.array([0.950456, 1.0, 1.088754])
# MC's matrix from RGB to XYZ, the white point divided in.
_RGB_TO_XYZ_OF_MC = np.array(
    [
        [0.4339563, 0.3762153, 0.1898430],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0177578, 0.1094756, 0.8728363],
    ]
)


def rgb_to_lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert RGB to CIELAB as the released code of RBD does, with Rec. 709's transfer function.

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
    xyz = _product(linear, _RGB_TO_XYZ) / _WHITE
    return _lab(np.where(xyz < 0.008856, xyz * 841 / 108 + 4 / 29, np.cbrt(xyz)))


def mc_color(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert RGB to what the released code of MC takes for CIELAB: a power law of 0 to 255.

    Parameters
    ----------
    rgb : ndarray of shape (N, 3), float64
        RGB in [0, 1].

    Returns
    -------
    ndarray of shape (N, 3), float64
        Lightness, a and b on a scale about 60 times that of CIELAB, which cancels where it is
        used.
    """
    values = 255 * rgb
    linear = ((values + 0.099) / 1.099) ** 2.222
    linear = np.where(linear < 0.018, values / 4.5138, linear)
    xyz = _product(linear, _RGB_TO_XYZ_OF_MC)
    return _lab(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787069 * xyz + 0.137931))


def _product(colors: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply element by element: BLAS may round by the number of rows."""
    product: NDArray[np.float64] = (colors[:, np.newaxis, :] * matrix).sum(axis=2)
    return product


def _lab(roots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Combine the transformed X, Y and Z."""
    x, y, z = roots.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
