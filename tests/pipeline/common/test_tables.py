"""CSV: numbers stay numbers, and no cell of text is a formula."""

import csv
import io

import numpy as np
import pytest

from dilo.pipeline.common.tables import csv_text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("http://x","y")',
        "+1",
        "-1",
        "@SUM(1)",
        " =1+1",
        "\u00a0\u3000=1+1",
        "\uff1d1+1",  # full width
        " \uff0b1",
        "\uff0d1",
        "\uff20SUM(1)",
        "\ufe661",  # small
        "\u22121",  # a minus
        "\t=1+1",
        "\tplain",
        "\n=1+1",
    ],
)
def test_text_that_a_spreadsheet_would_compute_is_kept_from_it(text):
    ((cell, other),) = csv.reader(io.StringIO(csv_text([text, "plain"], [])))
    assert cell == f"'{text}"
    assert other == "plain"
    ((cell,),) = list(csv.reader(io.StringIO(csv_text(["head"], [[text]]))))[1:]
    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["a=b", 'a, "b"', "c,d/é", "two\nlines", "", "'quoted", "1-2"])
def test_other_text_stands_as_it_is(text):
    ((cell, _),) = csv.reader(io.StringIO(csv_text([text, "x"], [])))
    assert cell == text


def test_orders_to_a_terminal_are_escapes_in_a_cell_too():
    assert csv_text(["a\r\u202e\x1b=1"], []) == "a\\x0d\\u202e\\x1b=1\n"


def test_numbers_stay_numbers_and_below_zero_too():
    rows = [[-1, -0.5, np.float32(0.25), np.int64(-3), True, np.bool_(False), None, float("nan")]]
    assert csv_text(["head"], rows) == "head\n-1,-0.5,0.25,-3,1,0,,nan\n"
    assert csv_text(["head"], [[-0.5, 2]], floats=".6f") == "head\n-0.500000,2\n"
