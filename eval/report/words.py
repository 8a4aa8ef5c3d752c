"""What numbers say, in sentences: nothing is claimed that is missing or within the noise."""

from collections.abc import Iterable, Sequence

from dilo.eval.report.comparing import Comparison, noise
from dilo.eval.report.quantities import Number

#: Digits after the point, by unit; shares and indices have three.
DIGITS = {"%": 1, "points": 1}


def written(value: float, unit: str) -> str:
    """Write a number as its unit asks for.

    Parameters
    ----------
    value : float
        The number.
    unit : str
        "%", "points" or "".

    Returns
    -------
    str
        Without the unit.

    Examples
    --------
    >>> written(53.58, "%"), written(0.5, "")
    ('53.6', '0.500')
    """
    return f"{value:.{DIGITS.get(unit, 3)}f}"


def with_unit(value: float, unit: str) -> str:
    """Write a number and its unit.

    Parameters
    ----------
    value : float
        The number.
    unit : str
        "%", "points" or "".

    Returns
    -------
    str
        Both, with a space that does not break.
    """
    return f"{written(value, unit)}\u00a0{unit}" if unit else written(value, unit)


def summary(comparisons: Iterable[Comparison], runs: Sequence[str]) -> str:
    """Say in a paragraph how the runs stand.

    Parameters
    ----------
    comparisons : iterable of Comparison
        Of the headline numbers.
    runs : sequence of str
        All runs.

    Returns
    -------
    str
        A sentence a number.
    """
    sentences = [sentence(comparison, runs) for comparison in comparisons]
    if not sentences:
        return "No record of these runs holds a number yet: see what is missing, below."
    return " ".join(sentences)


def sentence(comparison: Comparison, runs: Sequence[str]) -> str:
    """Say how runs stand in one number.

    Parameters
    ----------
    comparison : Comparison
        The number of those that have it.
    runs : sequence of str
        All runs.

    Returns
    -------
    str
        One sentence, two where a run lacks it.
    """
    found = comparison.first
    told = ", ".join(f"{name} {_told(one)}" for name, one in comparison.numbers.items())
    text = f"{_capital(found.label)}: {told}{_verdict(comparison)}."
    lacking = [run for run in runs if run not in comparison.numbers]
    if lacking:
        text += f" {' and '.join(lacking)}: no such number."
    return text


def _told(found: Number) -> str:
    """Write a number with its interval."""
    text = with_unit(found.value, found.unit)
    if found.ends:
        low, high = (written(end, found.unit) for end in found.ends)
        count = f", n\u00a0=\u00a0{found.images:,}" if found.images else ""
        text += f" ({low}\u2013{high}{count})"
    return text


def _verdict(comparison: Comparison) -> str:
    """Say which run is better, if one is."""
    if len(comparison.numbers) < 2:
        return ""
    if not comparison.comparable:
        return "; not compared, for they were not measured alike"
    ranked = comparison.ranked()
    if not ranked:
        return ""
    top, second = ranked[:2]
    unit = "points" if top.unit == "%" else top.unit
    apart = abs(top.value - second.value)
    if written(apart, unit) == written(0, unit):
        return "; no difference"
    way = "higher" if top.value > second.value else "lower"
    than = f" than {second.column}" if len(ranked) > 2 else ""
    text = f"; {top.column} is {with_unit(apart, unit)} {way}{than}"
    ends = noise(top, second)
    if ends is None:
        return f"{text}, how much of it is chance is not known"
    if ends[0] <= 0 <= ends[1]:
        return f"{text}, within the noise of so many images"
    return f"{text}, more than the noise of so many images"


def _capital(text: str) -> str:
    """Begin a sentence, but leave kNN as it is."""
    return text if text.startswith("kNN") else text[:1].upper() + text[1:]
