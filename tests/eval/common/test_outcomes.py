"""Outcomes: shares and differences by hand."""

import json
import math

import numpy as np
import pytest

from dilo.eval.common.outcomes import (
    compared,
    mean_difference,
    outcomes_record,
    proportion,
    read_outcomes,
)
from dilo.eval.common.results import Evaluation


def test_a_share_is_given_with_wilsons_interval():
    share = proportion(np.array([True] * 3 + [False] * 7))
    assert (share.value, share.images) == (30.0, 10)
    # The ends solve (share - p)^2 = z^2 p (1 - p) / n.
    for end in (share.low / 100, share.high / 100):
        assert abs(0.3 - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 10))


def test_an_interval_holds_its_share_even_where_all_are_right_or_none():
    assert proportion(np.ones(7, bool)).high == 100.0
    assert proportion(np.zeros(7, bool)).low == 0.0
    assert proportion(np.zeros(0, bool)) is None


def test_the_difference_of_two_networks_is_mcnemars():
    # Of 50 images both are right on 20, the first alone on 12, the second alone on 3.
    first = np.array([1.0] * 32 + [0.0] * 18)
    second = np.array([1.0] * 20 + [0.0] * 12 + [1.0] * 3 + [0.0] * 15)
    share = mean_difference(first - second)
    reach = 1.959964 * math.sqrt(12 + 3 - (12 - 3) ** 2 / 50) / 50
    assert share.value == pytest.approx(100 * (12 - 3) / 50)
    assert (share.low, share.high) == pytest.approx((18 - 100 * reach, 18 + 100 * reach))
    assert share.images == 50


def bits(*numbers, images=11):
    """Say of which images a network is right."""
    right = np.zeros(images, bool)
    right[list(numbers)] = True
    return right


def test_a_record_keeps_which_images_are_right():
    names = [f"{number}.png" for number in range(11)]
    record = outcomes_record("12ab", names, {"1": bits(0, 8, 10), "20": bits(3)})
    assert record["right"] == {"1": "gKA=", "20": "EAA="}  # 10000000 10100000, 00010000 00000000
    read = read_outcomes(json.loads(json.dumps({"outcomes": record})))
    assert read["1"].right.tolist() == bits(0, 8, 10).tolist()
    difference = read["1"].difference(read["20"])
    expected = mean_difference(bits(0, 8, 10).astype(float) - bits(3).astype(float))
    assert difference == expected


def test_only_the_same_images_are_paired():
    names = [f"{number}.png" for number in range(11)]
    of_others = [
        outcomes_record("34cd", names, {"1": bits(1)}),  # of other sizes
        outcomes_record("12ab", names[::-1], {"1": bits(1)}),
        outcomes_record("12ab", names[1:], {"1": bits(1, images=10)}),  # one could not be read
    ]
    mine = read_outcomes({"outcomes": outcomes_record("12ab", names, {"1": bits(0)})})["1"]
    for record in of_others:
        assert mine.difference(read_outcomes({"outcomes": record})["1"]) is None


@pytest.mark.parametrize(
    "outcomes",
    [
        None,
        [],
        {"images": 11, "digest": "a"},
        {"images": 11, "digest": "a", "right": {"1": "gKA"}},
        {"images": 11, "digest": "a", "right": {"1": "gA=="}},
        {"images": -3, "digest": "a", "right": {"1": ""}},
        {"images": 11.0, "digest": "a", "right": {"1": "gKA="}},
        {"images": 11, "digest": None, "right": {"1": "gKA="}},
        {"images": 11, "digest": "a", "right": {"1": 7}},
    ],
)
def test_of_a_damaged_record_no_outcome_is_taken(outcomes):
    assert read_outcomes({"outcomes": outcomes}) == {}


def test_evaluations_stand_one_below_the_other_with_the_differences_of_pairs():
    def evaluation(name, *right):
        record = {"task": "knn", "checkpoint": f"{name}.pt"}
        record["outcomes"] = outcomes_record("12ab", map(str, range(11)), {"20": bits(*right)})
        return Evaluation(record, [f"table of {name}"])

    one, two = evaluation("one", 0, 1, 2), evaluation("two", 2)
    assert compared({"one": one}, "") is one
    both = compared({"one": one, "two": two}, "top-1, k = {key}")
    assert both.record["checkpoints"] == {"one": one.record, "two": two.record}
    (pair,) = both.record["pairs"]
    assert (pair["first"], pair["second"]) == ("one", "two")
    assert pair["top1"]["20"]["value"] == pytest.approx(100 * 2 / 11)
    assert both.table == [
        "one: one.pt",
        "table of one",
        "",
        "two: two.pt",
        "table of two",
        "",
        "differences on the same images, in points, with their paired 95 % intervals:",
        " " * 22 + "one less two",
        "top-1, k = 20  18.2 (-4.6 to 41.0)",
    ]
