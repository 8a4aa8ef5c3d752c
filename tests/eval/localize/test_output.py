"""What localize writes: table, record, lines, plot and sheets."""

import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.located import write_objects

from dilo.eval.common.pairing import find_images_of_truth, open_masks
from dilo.eval.localize.boxes import components
from dilo.eval.localize.ground_truth import Dataset, MaskTruth, Objects, Sample
from dilo.eval.localize.metrics import METRICS, MethodResult
from dilo.eval.localize.output import (
    CELL,
    FOUND,
    NAMED,
    TRUE,
    example_sheet,
    notes,
    per_image,
    pixel_plot,
    row_record,
    table,
    write_sheets,
)
from dilo.eval.localize.score import MethodScores
from dilo.eval.localize.scoring import score_all
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.sheets import CAPTION, GAP

SIDE = 20


def drawn(shape, saliency):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[5:15, 5:15] = True
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    sample = Sample("1", "a/1.jpg", shape, image, Objects(mask, components(mask)[0]), [])
    score = MethodScores([0.5], [1.0], [0.25], [False])
    return np.asarray(example_sheet(score, [("best 1", 0)], [sample], [saliency], across=1)).astype(
        int
    )


def where(pixels, colour):
    rows, columns = np.nonzero((pixels == colour).all(axis=2))
    return rows.min() - GAP, rows.max() - GAP, columns.min() - GAP, columns.max() - GAP


def test_truth_and_box_are_drawn_where_they_are():
    saliency = np.zeros((SIDE, SIDE))
    saliency[10:20, 0:10] = 1
    pixels = drawn((SIDE, SIDE), saliency)
    assert pixels.shape == (CELL + CAPTION + 2 * GAP, 2 * (CELL + GAP) + GAP, 3)
    left = pixels[:, : CELL + GAP]
    assert where(left, FOUND) == (100, 199, 0, 99)
    top, bottom, first, last = where(left, TRUE)
    assert all(
        abs(a - b) <= 1 for a, b in zip((top, bottom, first, last), (50, 149) * 2, strict=True)
    )
    right = pixels[:, CELL + 2 * GAP :]
    assert where(np.pad(right, ((0, 0), (GAP, 0), (0, 0))), FOUND) == (100, 199, 0, 99)


def test_an_image_keeps_its_proportions():
    saliency = np.ones((SIDE, SIDE))
    saliency[0, 0] = 0.9  # not constant, and all else above a fifth of the greatest value
    pixels = drawn((100, 50), saliency)
    assert where(pixels[:, : CELL + GAP], FOUND) == (0, 199, 50, 149)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_map_that_says_nothing_has_no_box(value):
    pixels = drawn((SIDE, SIDE), np.full((SIDE, SIDE), value))
    assert not (pixels == FOUND).all(axis=2).any()
    assert (pixels == TRUE).all(axis=2).any()


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


def row(name, counts):
    score = MethodScores()
    for value, (on, off) in counts.items():
        score.pixels[:, value] = on, off
    return MethodResult(name, "cam", score, [], True)


def test_the_curve_begins_where_something_is_found_and_its_dot_is_at_the_best_f(
    tmp_path, monkeypatch
):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    rows = [row("good", {900: (4, 0), 500: (4, 2), 0: (0, 6)}), row("none", {0: (8, 8)})]
    pixel_plot(rows, tmp_path / "plot")
    line, dot, flat, _ = figures[0].axes[0].get_lines()
    assert sorted(set(line.get_xdata())) == [0.5, 1.0]
    assert line.get_ydata()[[0, -1]].tolist() == [1.0, 0.5]
    assert (dot.get_xdata(), dot.get_ydata()) == (1.0, 0.8)
    assert flat.get_xdata().tolist() == [1.0]
    assert np.array_equal(flat.get_ydata(), [0.5])
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts == ["0.900  good", "0.500  none"]
    assert (tmp_path / "plot").read_bytes().startswith(b"\x89PNG")


CLEAN = {"truths_without_image": 0, "skipped": [], "methods": []}


def test_where_all_is_as_it_should_be_nothing_is_said():
    assert notes({**CLEAN, "methods": [{"name": "a", "constant_maps": 0}]}) == []


def test_of_many_skipped_images_the_first_are_named():
    skipped = [{"path": f"{i}.jpg", "reason": "broken"} for i in range(NAMED + 2)]
    lines = notes({**CLEAN, "skipped": skipped})
    assert lines[0] == "12 images are skipped:"
    assert lines[1:-1] == [f"  {i}.jpg: broken" for i in range(NAMED)]
    assert lines[-1] == "  and 2 more; localize.json names all"
    assert len(notes({**CLEAN, "skipped": skipped[:NAMED]})) == 1 + NAMED


def test_an_image_that_broke_while_it_was_scored_is_not_drawn(tmp_path):
    write_objects(tmp_path, ("1", "2"))
    truth = MaskTruth(tmp_path / "masks")
    keys = list(truth.keys)
    methods = [open_masks("perfect", tmp_path / "perfect", keys)]
    dataset = Dataset(find_images_of_truth(tmp_path / "images", keys), truth, methods, 32)
    scores = score_all(dataset, [], keys, batch=2, workers=0, progress=ignore)
    rows = [
        MethodResult(name, name, score, [], True, baseline=name != "perfect")
        for name, score in zip(("perfect", "center", "random"), scores.rows, strict=True)
    ]
    write_sheets(tmp_path, dataset, [], rows, scores)
    assert [path.name for path in tmp_path.glob("*.png")] == ["sheet-perfect.png"]
    (tmp_path / "images" / "2.jpg").write_bytes(b"no picture")
    with pytest.raises(DiloError, match="must stay as it is until all is written"):
        write_sheets(tmp_path, dataset, [], rows, scores)


def ignore(count):
    """Take a count of images and do nothing with it."""
