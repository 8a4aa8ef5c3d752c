"""Tables as lines of text."""

from collections.abc import Sequence


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows below a head: the first column to the left, the others to the right.

    Examples
    --------
    >>> for line in text_table(["method", "MAE"], [["rbd", "0.1441"], ["consensus", "0.14"]]):
    ...     print(line)
    method        MAE
    rbd        0.1441
    consensus    0.14
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def number_cell(value: float | None, digits: int) -> str:
    """Write a number with so many digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
