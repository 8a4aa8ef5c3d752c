"""Metrics: by hand, against the definitions in loops, and as a table."""

import math

import numpy as np
import pytest
import torch

from dilo.eval.backgrounds.classify import Answers
from dilo.eval.backgrounds.metrics import (
    background_gap,
    background_match_rate,
    heading,
    paired_metrics,
    reliance_metrics,
    retained_rate,
    table,
)
from dilo.eval.common.outcomes import mean_difference


def answers(labels, predictions, background_labels=None, paths=None):
    background_labels = None if background_labels is None else torch.tensor(background_labels)
    paths = paths or tuple(map(str, range(len(labels))))
    positions = torch.arange(len(labels))
    return Answers(
        positions, paths, torch.tensor(labels), torch.tensor(predictions), background_labels
    )


SAME = answers([0, 0, 1, 1], [0, 0, 1, 2])
RAND = answers([0, 0, 1, 1], [0, 2, 2, 1], background_labels=[0, 2, 0, 0])


def test_the_gap_is_the_difference_of_accuracies_image_by_image():
    gap = background_gap(SAME, RAND)
    assert gap.value == pytest.approx(75 - 50)
    differences = [0, 1, 1, -1]
    mean = sum(differences) / 4
    variance = sum((d - mean) ** 2 for d in differences) / 4 / 4
    assert gap.high - gap.value == pytest.approx(100 * 1.959964 * math.sqrt(variance))
    assert gap.value - gap.low == pytest.approx(gap.high - gap.value)


def test_the_gap_of_other_images_is_of_independent_shares():
    gap = background_gap(SAME, answers([0, 0], [0, 1], paths=("x", "y")))
    assert gap.value == pytest.approx(75 - 50)
    variance = 0.75 * 0.25 / 4 + 0.5 * 0.5 / 2
    assert gap.high - gap.value == pytest.approx(100 * 1.959964 * math.sqrt(variance))
    assert background_gap(SAME, answers([], [])) is None


def test_following_is_counted_where_the_background_is_of_another_class():
    labels, background_labels, predictions = [0, 0, 1, 2, 2], [0, 1, 0, 1, 0], [0, 1, 1, 1, -1]
    others = [i for i in range(5) if labels[i] != background_labels[i]]
    hits = sum(predictions[i] == background_labels[i] for i in others)
    found = background_match_rate(answers(labels, predictions, background_labels))
    assert (found.value, found.images) == (100 * hits / len(others), len(others)) == (50.0, 4)
    assert background_match_rate(answers(labels, predictions)) is None
    assert background_match_rate(answers([1], [1], [1])) is None


def test_what_stays_right_is_a_share_of_what_was_right():
    original = answers([0, 0, 1, 1], [0, 0, 1, 2])
    assert retained_rate(original, RAND).value == pytest.approx(100 / 3)
    assert retained_rate(original, answers([0], [0])) is None
    assert retained_rate(answers([0], [1]), answers([0], [0])) is None


def test_no_judged_class_is_wrong():
    assert answers([0, -1], [-1, 0]).right.tolist() == [False, False]


def test_reliance_tells_what_can_be_told():
    told = reliance_metrics({"original": SAME, "mixed_same": SAME, "mixed_rand": RAND})
    assert {name: s["value"] for name, s in told["top1"].items()} == {
        "original": 75.0,
        "mixed_same": 75.0,
        "mixed_rand": 50.0,
    }
    assert told["bg_gap"]["value"] == 25.0
    assert told["retained"].keys() == {"mixed_same", "mixed_rand"}
    assert told["follows_background"].keys() == {"mixed_rand"}
    assert reliance_metrics({"no_fg": SAME}).keys() == {"top1", "follows_background"}


def told(value):
    return {"value": value, "low": value - 1, "high": value + 1, "images": 10}


RECORD = {
    "mode": "folder",
    "images": "photos",
    "masks": "store",
    "seed": 0,
    "judged_classes": 10,
    "results": [
        {
            "name": "one",
            "images": 1200,
            "chance": 10.0,
            "top1": {"original": told(90.0), "mixed_same": told(80.04), "mixed_rand": told(70.0)},
            "bg_gap": told(10.0),
            "follows_background": {"mixed_rand": told(20.0)},
        },
        {
            "name": "another",
            "images": 1200,
            "chance": 0.1,
            "top1": {"original": told(1.0)},
            "follows_background": {},
        },
    ],
    "pairs": [{"first": "one", "second": "another", "top1": {"original": told(89.0)}}],
}


def test_pairs_are_compared_on_what_both_were_shown():
    other = answers([0, 0, 1, 1], [0, 1, 1, 1])
    found = {
        "a": {"original": SAME, "mixed_same": SAME, "mixed_rand": RAND},
        "b": {"original": answers([0], [0], paths=("x",)), "mixed_same": other, "mixed_rand": SAME},
        "c": {"mixed_same": SAME},
    }
    first, *_ = pairs = paired_metrics(found)
    names = [(pair["first"], pair["second"]) for pair in pairs]
    assert names == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {name: d["value"] for name, d in first["top1"].items()} == {
        "mixed_same": 0.0,
        "mixed_rand": -25.0,
    }
    # Image by image, (same - rand) of a is 0, 1, 1, -1, and of b 0, -1, 0, 1.
    differences = np.array([0.0, 2.0, 1.0, -2.0])
    assert first["bg_gap"] == vars(mean_difference(differences))
    assert "bg_gap" not in pairs[1]


def test_every_number_stands_below_its_name():
    lines = table(RECORD)
    assert lines[:3] == [
        "classifier  original  mixed_same  mixed_rand              BG-gap  follows rand",
        "one             90.0        80.0        70.0  10.0 (9.0 to 11.0)          20.0",
        "another          1.0           -           -                   -             -",
    ]
    assert "mixed_same    the foreground on a background of its own class" in lines
    assert "chance        of one class: 0.1 or 10.0" in lines
    assert not any(line.startswith("only_bg_t") for line in lines)


def test_the_differences_of_pairs_stand_below():
    *_, title, head, row = table(RECORD)
    assert title.endswith("with their paired 95 % intervals:")
    assert (head.split(), row) == (["one", "less", "another"], "original  89.0 (88.0 to 90.0)")
    assert table({**RECORD, "pairs": []})[-1].startswith("chance")


def test_the_heading_says_what_was_judged():
    assert heading(RECORD) == (
        "variations of 1,200 images of photos, 10 classes, by the masks store, seed 0"
    )
    challenge = {"mode": "challenge", "images": "release", "side": 224}
    assert heading(challenge) == "the Backgrounds Challenge in release, shown at 224 px"
