"""Scores as text."""

import csv
import io

import pytest

from dilo.eval.localize.metrics import NUMBERS, Row
from dilo.eval.localize.output import conventions, per_image, row_record, table
from dilo.eval.localize.scoring import Score


@pytest.fixture
def rows():
    score = Score([0.5, 1.0], [1.0, 0.0], [0.6, 0.1], [False, True], [True, False], ["ant", "bee"])
    score.right[:, 102] = 1
    score.pixels[:, 1000] = 3, 1
    floor = Score([0.25, 0.5], [0.5, 0.0], [0.0, 0.1], [False, False])
    floor.pixels[:, 0] = 3, 1
    return [
        Row("c cam", "cam", score, [], True, rule="true", checkpoint="c.pt", step=7),
        Row("floor", "random", floor, [], True, floor=True),
    ]


def test_the_table_has_a_column_for_each_number_that_a_row_has(rows):
    lines = table(rows)
    heads = [n.head for n in NUMBERS if n.key != "pointing_game_class_mean"]
    assert lines[0].split() == " ".join(["map", *heads]).split()
    values = ["75.0", "50.0", "50.0", "50.0", "50.0", "50.0", "50.0", "50.0", "75.0"]
    assert lines[1].split() == ["c", "cam", *values]
    assert lines[2].split() == ["floor", "37.5", "25.0", *["0.0"] * 3, *["-"] * 3, "75.0"]
    assert len(lines) == 3 + 1 + 9 + 1
    for number, line in zip([n for n in NUMBERS if n.head in heads], lines[4:], strict=False):
        assert line.startswith(f"{number.head:<12} {number.key}: {number.meaning}")


def test_the_record_says_where_a_row_comes_from_and_what_lies_behind(rows):
    record = row_record(rows[0])
    assert list(record["numbers"]) == [number.key for number in NUMBERS]
    assert record["numbers"]["pointing_game_class_mean"] is None
    del record["numbers"]
    assert record == {
        "name": "c cam",
        "method": "cam",
        "floor": False,
        "checkpoint": "c.pt",
        "step": 7,
        "class": "true",
        "max_box_acc_threshold": 0.4,
        "max_box_acc_v2_by_overlap": {"0.3": 50.0, "0.5": 50.0, "0.7": 50.0},
        "blank_maps": 1,
    }
    assert set(conventions()) == {"all", *(number.key for number in NUMBERS)}


def test_each_image_of_each_row_has_a_line(rows):
    lines = list(csv.DictReader(io.StringIO(per_image(rows, ["a,1.jpg", "2.jpg"]))))
    assert [(line["map"], line["image"]) for line in lines] == [
        (name, image) for name in ("c cam", "floor") for image in ("a,1.jpg", "2.jpg")
    ]
    assert lines[1] == {
        "map": "c cam",
        "image": "2.jpg",
        "class": "",
        "predicted": "bee",
        "energy": "1.000000",
        "pointing": "0.000000",
        "iou": "0.100000",
        "blank": "1",
    }
    assert lines[2]["predicted"] == ""


def test_no_name_of_an_image_or_a_class_is_a_formula_in_the_csv(rows):
    rows[0].score.predicted[:] = ["@SUM(1)", "-1"]
    lines = list(csv.DictReader(io.StringIO(per_image(rows, ["=1+1", "\uff1d1"]))))
    assert [lines[0]["image"], lines[1]["image"]] == ["'=1+1", "'\uff1d1"]
    assert [lines[0]["predicted"], lines[1]["predicted"]] == ["'@SUM(1)", "'-1"]
