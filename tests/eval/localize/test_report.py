"""Scores as text."""

import csv
import io

import pytest

from dilo.eval.localize.metrics import METRICS, MethodResult
from dilo.eval.localize.output import per_image, row_record, table
from dilo.eval.localize.scoring import MethodScores


@pytest.fixture
def rows():
    score = MethodScores(
        [0.5, 1.0], [1.0, 0.0], [0.6, 0.1], [False, True], [True, False], ["ant", "bee"]
    )
    score.right[:, 102] = 1
    score.pixels[:, 1000] = 3, 1
    baseline = MethodScores([0.25, 0.5], [0.5, 0.0], [0.0, 0.1], [False, False])
    baseline.pixels[:, 0] = 3, 1
    return [
        MethodResult("c cam", "cam", score, [], True, rule="true", checkpoint="c.pt", step=7),
        MethodResult("random", "random", baseline, [], True, baseline=True),
    ]


def test_the_table_has_a_column_for_each_number_that_a_row_has(rows):
    lines = table(rows)
    heads = [n.column for n in METRICS if n.key != "pointing_game_class_mean"]
    assert lines[0].split() == " ".join(["map", *heads]).split()
    values = ["75.0", "50.0", "50.0", "50.0", "50.0", "50.0", "50.0", "50.0", "75.0"]
    assert lines[1].split() == ["c", "cam", *values]
    assert lines[2].split() == ["random", "37.5", "25.0", *["0.0"] * 3, *["-"] * 3, "75.0"]
    assert len(lines) == 3 + 1 + 9 + 1
    for number, line in zip([n for n in METRICS if n.column in heads], lines[4:], strict=False):
        assert line.startswith(f"{number.column:<12} {number.key}: {number.meaning}")


def test_the_record_says_where_a_row_comes_from_and_what_lies_behind(rows):
    record = row_record(rows[0])
    assert list(record["numbers"]) == [number.key for number in METRICS]
    assert record["numbers"]["pointing_game_class_mean"] is None
    del record["numbers"]
    assert record == {
        "name": "c cam",
        "method": "cam",
        "baseline": False,
        "checkpoint": "c.pt",
        "step": 7,
        "class": "true",
        "max_box_acc_threshold": 0.4,
        "max_box_acc_v2_by_overlap": {"0.3": 50.0, "0.5": 50.0, "0.7": 50.0},
        "constant_maps": 1,
    }


def test_each_image_of_each_row_has_a_line(rows):
    lines = list(csv.DictReader(io.StringIO(per_image(rows, ["a,1.jpg", "2.jpg"]))))
    assert [(line["map"], line["image"]) for line in lines] == [
        (name, image) for name in ("c cam", "random") for image in ("a,1.jpg", "2.jpg")
    ]
    assert lines[1] == {
        "map": "c cam",
        "image": "2.jpg",
        "class": "",
        "predicted": "bee",
        "energy": "1.000000",
        "pointing": "0.000000",
        "iou": "0.100000",
        "constant": "1",
    }
    assert lines[2]["predicted"] == ""
