"""One number of several runs: which is best, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from dilo.eval.common.intervals import Ends, difference
from dilo.eval.records.conditions import differing
from dilo.eval.records.quantities import Number


@dataclass(frozen=True)
class Comparison:
    """A number of all runs that have it.

    Attributes
    ----------
    numbers : dict of str to Number
        By run.
    comparable : bool
        Whether the records agree in what they must agree in.
    """

    numbers: dict[str, Number]
    comparable: bool = True

    @property
    def first(self) -> Number:
        """Any of the numbers, for what all share.

        Returns
        -------
        Number
            The first.
        """
        return next(iter(self.numbers.values()))

    def ranked(self) -> list[Number]:
        """Sort the numbers, the best first.

        Returns
        -------
        list of Number
            None where nothing is better, or only one run has it, or they may not be compared.
        """
        if not self.comparable or len(self.numbers) < 2 or not self.first.quantity.better:
            return []
        more = self.first.quantity.better == "more"
        return sorted(self.numbers.values(), key=lambda n: n.value, reverse=more)

    def mark(self, column: str) -> str:
        """Tell how a run stands.

        Parameters
        ----------
        column : str
            The run.

        Returns
        -------
        str
            "best" for the one that is beyond noise of all others; "even" for those within the
            noise of the first; "first" where the noise is unknown; else "".
        """
        ranked = self.ranked()
        if column not in self.numbers or not ranked:
            return ""
        top, mine = ranked[0], self.numbers[column]
        noises = [noise(top, other) for other in ranked[1:]]
        if any(found is None for found in noises):
            return "first" if mine.value == top.value else ""
        within = [other for other in ranked[1:] if _within(top, other)]
        if mine is top:
            return "even" if within else "best"
        return "even" if any(mine is other for other in within) else ""


def noise(first: Number, second: Number) -> Ends | None:
    """Give the 95 % interval of a difference that the number of images leaves open.

    Parameters
    ----------
    first, second : Number
        Of the same quantity.

    Returns
    -------
    (float, float) or None
        Ends of first - second; None where the interval of one of them is not known.
    """
    if first.ends is None or second.ends is None:
        return None
    return difference(first.value, first.ends, second.value, second.ends)


def _within(top: Number, other: Number) -> bool:
    """Tell whether the images are too few to tell two numbers apart."""
    ends = noise(top, other)
    return ends is not None and ends[0] <= 0 <= ends[1]


def comparisons(numbers: Sequence[Number], columns: Sequence[str]) -> list[Comparison]:
    """Put numbers side by side.

    Parameters
    ----------
    numbers : sequence of Number
        All there are.
    columns : sequence of str
        Whose numbers, in which order.

    Returns
    -------
    list of Comparison
        One for each task and label that a column has, in the order of the numbers.
    """
    rows: dict[tuple[str, str], dict[str, Number]] = {}
    for found in numbers:
        if found.column in columns:
            rows.setdefault((found.task, found.label), {}).setdefault(found.column, found)
    return [
        Comparison(
            {name: row[name] for name in columns if name in row},
            comparable=not differing(task, {name: n.result.record for name, n in row.items()}),
        )
        for (task, _), row in rows.items()
    ]
