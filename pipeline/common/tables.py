"""One door for CSV: numbers stay numbers, and no cell of text is a formula to a spreadsheet."""

import csv
import io
import numbers
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from dilo.pipeline.common.printing import printable

#: What a formula begins with; U+2212 is a minus that no normal form makes one of ASCII.
_FORMULA = tuple("=+-@\u2212")


def csv_text(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, floats: str = ".6g"
) -> str:
    """Write a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name, floats) for name in header])
    writer.writerows([_cell(value, floats) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object, floats: str) -> str:
    """Write one cell."""
    if value is None:
        return ""
    # numpy's own booleans are no numbers to Python.
    if isinstance(value, numbers.Integral | np.bool_):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return format(float(value), floats)
    text = printable(str(value))
    # White space before it hides a formula from no spreadsheet, and a full-width sign is one.
    normalized = unicodedata.normalize("NFKC", text).strip()
    return f"'{text}" if normalized.startswith(_FORMULA) or text[:1] in ("\t", "\n") else text
