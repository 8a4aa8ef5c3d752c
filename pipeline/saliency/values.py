"""Saliency values of superpixels: stretched to the whole range, cut in two."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled

# Values that differ by less, outright or as a share of the largest, are the same: rounding must
# not pass for saliency where all superpixels are alike.
_SAME = 1e-9


def stretch(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch values to [0, 1]; values that are the same but for rounding, to 0.

    Parameters
    ----------
    values : ndarray of shape (N,), float64
        Finite values.

    Returns
    -------
    ndarray of shape (N,), float64
        Values of which the smallest is 0 and the largest 1, unless all are the same.
    """
    low, high = values.min(), values.max()
    if high - low <= _SAME * max(1.0, abs(low), abs(high)):
        return np.zeros_like(values)
    stretched: NDArray[np.float64] = (values - low) / (high - low)
    return stretched


@compiled
def otsu_threshold(values: NDArray[np.float64]) -> float:
    """Find the threshold that divides values into the two classes furthest apart.

    Parameters
    ----------
    values : ndarray of shape (N,), float64
        Values in [0, 1], one vote each, counted in 256 bins.

    Returns
    -------
    float
        Threshold in [0, 1], the mean of those that are equally good; 0 where all values fall
        in one bin.

    References
    ----------
    N. Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions on
    Systems, Man, and Cybernetics 9(1), 1979, equation 18.
    """
    histogram = np.zeros(256, np.int64)
    for value in values:
        histogram[int(255 * value + 0.5)] += 1
    votes, total = len(values), (histogram * np.arange(256)).sum()
    below, moment = 0, 0  # votes up to a cut, and the sum of their bins
    best, cuts, ties = 0.0, 0, 0
    for cut in range(256):
        below += histogram[cut]
        moment += histogram[cut] * cut
        spread = below * (votes - below)
        # Whole numbers up to here, so that equally good cuts are exactly so.
        gap = float(total * below - moment * votes)
        between = gap * gap / spread if spread > 0 else 0.0
        if between > best:
            best, cuts, ties = between, 0, 0
        if between == best > 0:
            cuts, ties = cuts + cut, ties + 1
    return cuts / ties / 255 if ties else 0.0
