"""What numbers say, in sentences: nothing is claimed that is missing or within the noise."""

from collections.abc import Sequence

from dilo.eval.common.intervals import Ends
from dilo.eval.records.comparison import Comparison, noise
from dilo.eval.records.quantities import Number

#: Stands where there is nothing.
NOTHING = "\u2013"
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


def unbroken(label: str) -> str:
    """Keep a number on the line of what it is.

    Parameters
    ----------
    label : str
        "kNN top-1, k = 20".

    Returns
    -------
    str
        With spaces around "=" that do not break.
    """
    return label.replace(" = ", "\u00a0=\u00a0")


def span(ends: Ends, unit: str) -> str:
    """Write an interval.

    Parameters
    ----------
    ends : (float, float)
        Of it.
    unit : str
        "%", "points" or "".

    Returns
    -------
    str
        Both ends without the unit.
    """
    return "\u2013".join(written(end, unit) for end in ends)


def summary(comparisons: Sequence[Comparison], runs: Sequence[str]) -> str:
    """Say in a paragraph how the runs stand: who leads where, and where nobody can tell.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Of the numbers that the summary is about.
    runs : sequence of str
        All runs.

    Returns
    -------
    str
        Sentences.
    """
    if not comparisons:
        return "No record of these runs holds a number yet: see what is missing, below."
    if len(runs) == 1:
        return f"One run, {runs[0]}: there is nothing to compare it with."
    groups: dict[tuple[str, str], list[str]] = {}
    for comparison in comparisons:
        groups.setdefault(_standing(comparison), []).append(unbroken(comparison.first.label))
    each = [_group(kind, first, listed(labels)) for (kind, first), labels in groups.items()]
    return " ".join([f"{len(runs)} runs: {listed(runs)}.", *each])


def listed(words: Sequence[str]) -> str:
    """Write a list as English does.

    Parameters
    ----------
    words : sequence of str
        At least one.

    Returns
    -------
    str
        With semicolons where a word has a comma itself.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a, b", "c"])
    ('a, b and c', 'a, b; and c')
    """
    if any("," in word for word in words):
        return "; and ".join(filter(None, ["; ".join(words[:-1]), words[-1]]))
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _standing(comparison: Comparison) -> tuple[str, str]:
    """Say how a number stands, and which run is first in it, if that can be said."""
    if len(comparison.numbers) < 2:
        return "alone", next(iter(comparison.numbers))
    if not comparison.comparable:
        return "apart", ""
    ranked = comparison.ranked()
    if not ranked:
        return "neither", ""
    kind = comparison.mark(ranked[0].column)
    if kind == "first" and ranked[0].value == ranked[1].value:
        kind = "even"
    return kind, "" if kind == "even" else ranked[0].column


def _group(kind: str, first: str, labels: str) -> str:
    """Say in a sentence how some numbers stand."""
    return {
        "best": f"{first} leads, by more than the noise of so many images, in: {labels}.",
        "even": f"The images are too few to tell the first two apart in: {labels}.",
        "first": f"{first} leads by the number alone, its noise not being known, in: {labels}.",
        "apart": f"Not measured alike, and so not compared: {labels}.",
        "alone": f"Only {first} has: {labels}.",
        "neither": f"Neither way is better of: {labels}.",
    }[kind]


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
    text = f"{_capital(unbroken(found.label))}: {told}{_verdict(comparison)}."
    lacking = [run for run in runs if run not in comparison.numbers]
    if lacking:
        text += f" {' and '.join(lacking)}: no such number."
    return text


def _told(found: Number) -> str:
    """Write a number with its interval."""
    text = with_unit(found.value, found.unit)
    if found.ends:
        count = f", n\u00a0=\u00a0{found.images:,}" if found.images else ""
        text += f" ({span(found.ends, found.unit)}{count})"
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
