"""How far a share or a median of so many images can be trusted."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from scipy.special import stdtrit

Interval = tuple[float, float]

#: Standard errors to either side of a 95 % interval.
Z = NormalDist().inv_cdf(0.975)


def wilson(hits: float, n: int) -> Interval:
    """Compute the 95 % interval of a share, by Wilson's score.

    Parameters
    ----------
    hits : float
        How many are right.
    n : int
        Of how many; at least one.

    Returns
    -------
    (float, float)
        Its ends, in per cent; within 0 and 100 also where all or none are right.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical
       inference", J. Am. Stat. Assoc. 22, 1927.

    Examples
    --------
    >>> [round(end, 1) for end in wilson(50, 100)]
    [40.4, 59.6]
    """
    share = hits / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # Of none or all, the interval begins at the share itself, which rounding must not miss.
    return 100 * min(max(0.0, middle - half), share), 100 * max(min(1.0, middle + half), share)


def median(values: Sequence[float]) -> tuple[float, Interval]:
    """Find the median of some values, the lower one of two, and its 95 % interval.

    Parameters
    ----------
    values : sequence of float
        At least one.

    Returns
    -------
    float
        The median, one of the values.
    (float, float)
        Its interval by order statistics: two of the values, each about sqrt(n) places away. Of
        fewer than six values the least and the greatest, which is less than 95 %.

    References
    ----------
    .. [1] W. J. Conover, "Practical Nonparametric Statistics", 3rd edition, 1999, section 3.2;
       the binomial distribution by its normal approximation.

    Examples
    --------
    >>> median(range(1, 21))
    (10, (6, 15))
    """
    ordered, n = sorted(values), len(values)
    place = max(1, math.floor((n + 1 - Z * math.sqrt(n)) / 2))
    return ordered[(n - 1) // 2], (ordered[place - 1], ordered[n - place])


def mean_interval(values: Sequence[float]) -> Interval:
    """Compute the 95 % interval of the mean that some values are a sample of.

    Parameters
    ----------
    values : sequence of float
        At least two, such as one of each seed.

    Returns
    -------
    (float, float)
        Its ends, by Student's t with n - 1 degrees of freedom.

    Notes
    -----
    It takes the values for independent and normal. Of two or three it is wide: 9.0 and 2.5
    standard deviations to either side.

    References
    ----------
    .. [1] Student, "The probable error of a mean", Biometrika 6, 1908.

    Examples
    --------
    >>> [round(end, 2) for end in mean_interval([1.0, 2.0, 3.0])]
    [-0.48, 4.48]
    """
    half = stdtrit(len(values) - 1, 0.975) * stdev(values) / math.sqrt(len(values))
    middle = fmean(values)
    return middle - float(half), middle + float(half)


def difference(
    first: float, first_interval: Interval, second: float, second_interval: Interval
) -> Interval:
    """Compute the 95 % interval of a difference from those of its two parts.

    Parameters
    ----------
    first : float
        A number.
    first_interval : (float, float)
        Its 95 % interval.
    second : float
        Another.
    second_interval : (float, float)
        Its 95 % interval.

    Returns
    -------
    (float, float)
        Ends of first - second; of shares with Wilson's intervals, Newcombe's hybrid score.

    Notes
    -----
    The two are taken for independent. Where both runs saw the same images, a paired
    comparison, which needs each image's outcome, would most often be narrower.

    References
    ----------
    .. [1] R. G. Newcombe, "Interval estimation for the difference between independent
       proportions", Statistics in Medicine 17, 1998, method 10.
    .. [2] G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures",
       Statistics in Medicine 27, 2008: the same for any two intervals.

    Examples
    --------
    >>> ends = difference(80, wilson(56, 70), 60, wilson(48, 80))
    >>> [round(end, 2) for end in ends]
    [5.24, 33.39]
    """
    (low, high), (other_low, other_high) = first_interval, second_interval
    return (
        first - second - math.hypot(first - low, other_high - second),
        first - second + math.hypot(high - first, second - other_low),
    )
