"""Mean colours of superpixels in the spaces that the released codes compare them in."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled

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


@compiled
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
    lab, linear, roots = np.empty_like(rgb), np.empty(3), np.empty(3)
    for color in range(len(rgb)):
        for channel in range(3):
            value = rgb[color, channel]
            power = ((value + 0.099) / 1.099) ** (1 / 0.45)
            linear[channel] = value / 4.5138 if power < 0.018 else power
        for i in range(3):
            xyz = _product(_RGB_TO_XYZ[i], linear) / _WHITE[i]
            roots[i] = xyz * 841 / 108 + 4 / 29 if xyz < 0.008856 else np.cbrt(xyz)
        _set_lab(lab[color], roots)
    return lab


@compiled
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
    lab, linear, roots = np.empty_like(rgb), np.empty(3), np.empty(3)
    for color in range(len(rgb)):
        for channel in range(3):
            value = 255 * rgb[color, channel]
            power = ((value + 0.099) / 1.099) ** 2.222
            linear[channel] = value / 4.5138 if power < 0.018 else power
        for i in range(3):
            xyz = _product(_RGB_TO_XYZ_OF_MC[i], linear)
            roots[i] = np.cbrt(xyz) if xyz > 0.008856 else 7.787069 * xyz + 0.137931
        _set_lab(lab[color], roots)
    return lab


@compiled
def _product(row: NDArray[np.float64], color: NDArray[np.float64]) -> float:
    """Multiply a row of a matrix by a colour."""
    product: float = row[0] * color[0] + row[1] * color[1] + row[2] * color[2]
    return product


@compiled
def _set_lab(lab: NDArray[np.float64], roots: NDArray[np.float64]) -> None:
    """Combine the transformed X, Y and Z, in place."""
    x, y, z = roots
    lab[0], lab[1], lab[2] = 116 * y - 16, 500 * (x - y), 200 * (y - z)
