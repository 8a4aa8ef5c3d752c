"""The numbers of a row, from scores that one can count."""

from dataclasses import replace

import numpy as np
import pytest

from dilo.eval.localize.metrics import METRICS, MethodResult, box_accuracies, box_threshold
from dilo.eval.localize.score import MethodScores

BY_KEY = {number.key: number for number in METRICS}


@pytest.fixture
def row():
    score = MethodScores(
        energy=[0.5, 1.0, 0.0, 0.1],
        pointing=[1.0, 0.5, 0.0, 1.0],
        overlap=[0.5, 0.49, 0.9, 0.0],
        constant=[False] * 4,
        predicted_right=[True, True, False, False],
    )
    score.right[0, 51:60] = 3
    score.right[1, 0] = 4
    score.right[2, 9] = 2
    score.right[3, 254] = 1
    score.pixels[0, [1000, 500]] = 2, 2
    score.pixels[1, [500, 0]] = 4, 8
    return MethodResult(
        "c gradient", "gradient", score, ["ant", "ant", "ant", "bee"], True, rule="true"
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("energy_inside", 40.0),
        ("pointing_game", 62.5),
        ("pointing_game_class_mean", 75.0),
        ("max_box_acc", 75.0),
        ("max_box_acc_v2", (100 + 50 + 25) / 3),
        ("corloc", 50.0),
        ("gt_known_loc", 50.0),
        ("top1_loc", 25.0),
        ("top1", 50.0),
        ("pixel_ap", 100 * (1 * 0.5 + 4 / 8 * 0.5)),
    ],
)
def test_a_number_in_per_cent_is_what_it_says(row, key, expected):
    assert BY_KEY[key].value(row) == pytest.approx(expected)


def test_every_number_is_tested_above():
    assert len(BY_KEY) == len(METRICS) == 10


def test_what_lies_behind_max_box_acc_is_told(row):
    assert box_accuracies(row.score) == [75, 100, 50, 25]
    assert box_threshold(row.score) == 0.2


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"by_pixel": False}, {"pixel_ap"}),
        ({"classes": []}, {"pointing_game_class_mean"}),
        ({"rule": "predicted"}, {"gt_known_loc"}),
        ({"rule": None}, {"gt_known_loc"}),
    ],
)
def test_a_number_that_cannot_be_is_none(row, change, missing):
    changed = replace(row, **change)
    assert {key for key, number in BY_KEY.items() if number.value(changed) is None} == missing


def test_without_known_classes_there_is_no_top_1(row):
    row.score.predicted_right.clear()
    assert BY_KEY["top1"].value(row) is None
    assert BY_KEY["top1_loc"].value(row) is None
    assert isinstance(BY_KEY["corloc"].value(row), float)
    assert np.isfinite(BY_KEY["corloc"].value(row))
