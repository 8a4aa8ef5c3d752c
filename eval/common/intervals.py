"""How far a share of so many images can be trusted."""

import math
from statistics import NormalDist

Ends = tuple[float, float]


#: Standard errors to either side of a 95 % interval.
Z = NormalDist().inv_cdf(0.975)


def interval(percent: float, images: int) -> Ends:
    """Give the 95 % interval of a share, by Wilson's score.

    Parameters
    ----------
    percent : float
        Share found, in per cent.
    images : int
        How many it is a share of.

    Returns
    -------
    (float, float)
        Ends, in per cent; within 0 and 100 also where all or none are right.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical
       inference", J. Am. Stat. Assoc. 22, 1927.

    Examples
    --------
    >>> [round(end, 1) for end in interval(50, 100)]
    [40.4, 59.6]
    """
    share = percent / 100
    middle = (share + Z**2 / (2 * images)) / (1 + Z**2 / images)
    spread = math.sqrt(share * (1 - share) / images + Z**2 / (4 * images**2))
    half = Z * spread / (1 + Z**2 / images)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def difference(first: float, first_ends: Ends, second: float, second_ends: Ends) -> Ends:
    """Give the 95 % interval of a difference out of those of its two parts.

    Parameters
    ----------
    first : float
        A number.
    first_ends : (float, float)
        Its 95 % interval.
    second : float
        Another.
    second_ends : (float, float)
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
    >>> ends = difference(80, interval(80, 70), 60, interval(60, 80))  # 56 of 70, 48 of 80
    >>> [round(end, 2) for end in ends]
    [5.24, 33.39]
    """
    (low, high), (other_low, other_high) = first_ends, second_ends
    found = first - second
    return (
        found - math.hypot(first - low, other_high - second),
        found + math.hypot(high - first, second - other_low),
    )
