"""What numbers say in sentences, and what they must not."""

import dataclasses
from pathlib import Path

import pytest

from dilo.eval.common.intervals import interval
from dilo.eval.records.comparison import Comparison
from dilo.eval.records.quantities import Number, Quantity
from dilo.eval.records.reading import Result
from dilo.eval.report.words import listed, sentence, summary, with_unit, written


def comparison(label="kNN top-1", *, comparable=True, unit="%", better="more", images=3925, **runs):
    """Make numbers of runs."""
    quantity = Quantity("knn", "top1", label, unit, better)
    result = Result("knn", Path("knn.json"), {})
    numbers = {
        name: Number(
            name, quantity, label, {}, v, interval(v, images) if images else None, images, result
        )
        for name, v in runs.items()
    }
    return Comparison(numbers, comparable)


def plain(text):
    """Take spaces that do not break for spaces."""
    return text.replace("\u00a0", " ").replace("\u2013", "-")


def test_a_difference_within_the_noise_is_said_to_be():
    told = plain(sentence(comparison(dilo=53.6, moco=55.1), ["dilo", "moco"]))
    assert told == (
        "kNN top-1: dilo 53.6 % (52.0-55.2, n = 3,925), moco 55.1 % (53.5-56.7, n = 3,925); "
        "moco is 1.5 points higher, within the noise of so many images."
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": 50.0, "b": 60.0}, "b is 10.0 points higher, more than the noise of so many images."),
        ({"a": 50.0, "b": 60.0, "better": "less"}, "a is 10.0 points lower, more than the noise"),
        ({"a": 50.0, "b": 60.0, "c": 55.0}, "b is 5.0 points higher than c, more than the noise"),
        ({"a": 0.5, "b": 0.6, "unit": "", "images": None}, "b is 0.100 higher, how much of it is"),
        ({"a": 50.0, "b": 50.04}, "n = 3,925); no difference."),
        ({"a": 50.0, "b": 60.0, "comparable": False}, "; not compared, for they were not measured"),
        ({"a": 50.0, "b": 60.0, "better": None}, "b 60.0 % (58.5-61.5, n = 3,925)."),
        ({"a": 50.0}, "a 50.0 % (48.4-51.6, n = 3,925)."),
    ],
)
def test_no_more_is_claimed_than_is_known(given, words):
    found = comparison(**given)
    assert words in plain(sentence(found, list(found.numbers)))


def test_a_run_without_the_number_is_named():
    told = sentence(comparison(a=50.0), ["a", "b", "c"])
    assert told.endswith(". b and c: no such number.")


def test_the_summary_says_who_leads_in_what_and_where_nobody_can_tell():
    told = summary(
        [
            comparison("A", x=50.0, y=60.0),
            comparison("B", x=50.0, y=60.0),
            comparison("C", x=53.6, y=55.1),
            comparison("D", x=1.0, y=2.0, images=None),
            comparison("E", x=1.0, y=2.0, comparable=False),
            comparison("F", x=1.0),
            comparison("G", x=1.0, y=90.0, better=None),
            comparison("H", x=1.0, y=1.0, images=None),
        ],
        ["x", "y"],
    )
    assert told == (
        "2 runs: x and y. y leads, by more than the noise of so many images, in: A and B. "
        "The images are too few to tell the first two apart in: C and H. "
        "y leads by the number alone, its noise not being known, in: D. "
        "Not measured alike, and so not compared: E. Only x has: F. Neither way is better of: G."
    )


def test_a_run_alone_and_runs_without_numbers_are_not_compared():
    assert summary([comparison(x=50.0)], ["x"]) == (
        "One run, x: there is nothing to compare it with."
    )
    assert summary([], ["x", "y"]).startswith("No record of these runs holds a number yet")


def test_braces_of_a_name_are_but_braces():
    assert "{0} leads" in summary([comparison("A", **{"{0}": 90.0, "y": 1.0})], ["{0}", "y"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a, b"], "a, b"),
        (["a, b", "c", "d"], "a, b; c; and d"),
    ],
)
def test_lists_are_written_as_english_does(words, text):
    assert listed(words) == text


def test_each_unit_has_its_digits():
    assert [written(1.25, unit) for unit in ("%", "points", "")] == ["1.2", "1.2", "1.250"]
    assert with_unit(1.0, "") == "1.000"


def test_numbers_are_never_changed_by_being_told():
    found = comparison(a=50.0, b=60.0)
    before = dataclasses.asdict(found.first)
    sentence(found, ["a", "b"])
    assert dataclasses.asdict(found.first) == before
