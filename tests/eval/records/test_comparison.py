"""Which number is best, and whether that is more than chance."""

from pathlib import Path

import pytest

from dilo.eval.common.intervals import difference, interval
from dilo.eval.records.comparison import Comparison, comparisons, noise
from dilo.eval.records.quantities import Number, Quantity
from dilo.eval.records.reading import Result


def made(column, value, *, images=3925, better="more", record=None, label="top-1"):
    """Make a share of images, or, of none, a number without an interval."""
    result = Result("knn", Path("knn.json"), record or {})
    ends = interval(value, images) if images else None
    quantity = Quantity("knn", "top1", label, better=better)
    return Number(column, quantity, label, {}, value, ends, images, result)


def marks(*values, **options):
    """Mark runs a, b, c ... of these values."""
    numbers = {name: made(name, v, **options) for name, v in zip("abcd", values, strict=False)}
    return [Comparison(numbers).mark(name) for name in numbers]


def test_one_that_is_beyond_the_noise_of_all_others_is_best():
    assert marks(50.0, 60.0, 55.0) == ["", "best", ""]


def test_those_within_the_noise_of_the_first_are_even_with_it():
    assert marks(53.6, 55.1, 40.0) == ["even", "even", ""]


def test_the_border_of_the_noise_is_where_the_interval_of_the_difference_ends():
    low = next(x / 100 for x in range(5000, 5600) if marks(50.0, x / 100) == ["", "best"])
    ends = interval(low, 3925), interval(50.0, 3925)
    assert difference(low, ends[0], 50.0, ends[1])[0] > 0
    before = low - 0.01
    assert difference(before, interval(before, 3925), 50.0, ends[1])[0] <= 0


def test_where_less_is_better_the_least_is_best():
    assert marks(50.0, 60.0, better="less") == ["best", ""]


def test_without_an_interval_the_first_is_first_by_the_number_alone():
    assert marks(50.0, 50.1, images=None) == ["", "first"]
    assert marks(50.0, 50.0, images=None) == ["first", "first"]


def test_where_one_interval_is_missing_nothing_is_best():
    numbers = {"a": made("a", 10.0), "b": made("b", 90.0, images=None)}
    assert noise(*numbers.values()) is None
    assert Comparison(numbers).mark("b") == "first"


@pytest.mark.parametrize("options", [{"better": None}, {}])
def test_nothing_is_marked_where_no_way_is_better_or_records_differ(options):
    numbers = {name: made(name, v, **options) for name, v in (("a", 1.0), ("b", 90.0))}
    comparison = Comparison(numbers, comparable="better" in options)
    assert [comparison.mark(name) for name in "ab"] == ["", ""]
    assert comparison.ranked() == []


def test_a_run_alone_or_without_the_number_has_no_mark():
    assert marks(50.0) == [""]
    assert Comparison({"a": made("a", 1.0), "b": made("b", 2.0)}).mark("c") == ""


def test_numbers_stand_together_by_task_and_label_in_the_order_of_the_columns():
    found = comparisons(
        [made("b", 1.0), made("a", 2.0), made("x", 3.0), made("a", 4.0, label="other")],
        ["a", "b"],
    )
    assert [c.first.label for c in found] == ["top-1", "other"]
    assert list(found[0].numbers) == ["a", "b"]
    assert [n.value for n in found[0].numbers.values()] == [2.0, 1.0]


def test_numbers_of_records_that_differ_are_not_comparable():
    first, second = made("a", 1.0, record={"size": 1}), made("b", 90.0, record={"size": 2})
    (found,) = comparisons([first, second], ["a", "b"])
    assert not found.comparable
    (alike,) = comparisons([first, made("b", 90.0, record={"size": 1})], ["a", "b"])
    assert alike.comparable
