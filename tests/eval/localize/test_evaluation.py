"""The whole road from images, truth and maps to files of numbers and pictures."""

import csv
import json
import re
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image
from support.classifiers import write_classifier
from support.located import SIDE, write_objects
from support.maps import save

from dilo.eval.common.machine import Machine
from dilo.eval.localize.evaluation import evaluate
from dilo.eval.localize.metrics import METRICS
from dilo.eval.localize.request import Request
from dilo.pipeline.errors import DiloError

NAMES = ("ant/1", "ant/2", "bee/1", "bee/2")

MACHINE = Machine(batch=3, workers=0, device="cpu")


@pytest.fixture
def objects(tmp_path):
    return write_objects(tmp_path, NAMES)


def run(root, **settings):
    """Evaluate in this process; give the record and what was said."""
    said = []
    usual = {
        "classifiers": [],
        "maps": [("perfect", root / "perfect")],
        "images": root / "images",
        "truth": root / "masks",
        "boxes": None,
        "methods": ("gradient", "cam"),
        "rule": None,
        "out": root / "out",
        "machine": replace(MACHINE, size=32),
        "allow_missing": False,
        "plots": False,
        "sheets": False,
    }
    return evaluate(Request(**{**usual, **settings}), said.append).record, said


def written(root):
    return {path.name for path in (root / "out").iterdir()}


def test_perfect_maps_score_a_hundred_in_everything(objects):
    record, said = run(objects, plots=True, sheets=True)
    perfect, center, random = record["methods"]
    numbers = {key: value for key, value in perfect["numbers"].items() if value is not None}
    assert numbers == dict.fromkeys(
        [n.key for n in METRICS if n.key not in ("gt_known_loc", "top1_loc", "top1")], 100.0
    )
    assert (perfect["method"], perfect["checkpoint"]) == ("maps", str(objects / "perfect"))
    assert [(row["name"], row["baseline"]) for row in (center, random)] == [
        ("baseline: center prior", True),
        ("baseline: random map", True),
    ]
    assert max(row["numbers"]["energy_inside"] for row in (center, random)) < 70
    assert written(objects) == {
        "localize.json",
        "table.txt",
        "per-image.csv",
        "pixel-precision-recall.png",
        "sheet-perfect.png",
    }
    assert json.loads((objects / "out" / "localize.json").read_text()) == record
    lines = (objects / "out" / "table.txt").read_text().splitlines()
    head = f"4 images of {objects / 'images'}, 32 px, against --truth {objects / 'masks'}"
    assert lines[0] == head
    assert said[-1].startswith(f"{objects / 'out'}: table.txt has these numbers")


def test_the_record_says_what_was_scored_on_what_and_by_which_versions(objects):
    record, _ = run(objects)
    del record["methods"], record["conventions"], record["seconds"], record["inputs"]
    packages = ("dilo", "torch", "torchvision", "numpy", "opencv-python-headless")
    assert record == {
        "task": "localize",
        "checkpoint": None,
        "step": None,
        "size": 32,
        "pointing_tolerance": 15 * 32 / 224,
        "image_folder": str(objects / "images"),
        "name": objects.name,
        "images": 4,
        "truth": str(objects / "masks"),
        "truth_kind": "masks",
        "truths_without_image": 0,
        "skipped": [],
        "versions": {name: version(name) for name in packages},
    }


def test_a_classifier_maps_the_true_class_where_it_knows_it(objects):
    file = write_classifier(objects / "c.pth", ("ant", "bee"), size=SIDE)
    record, said = run(objects, classifiers=[("c", file)], sheets=True, maps=[], machine=MACHINE)
    gradient, cam, *_ = record["methods"]
    assert [row["name"] for row in (gradient, cam)] == ["c gradient", "c cam"]
    assert (cam["class"], cam["checkpoint"], cam["step"]) == ("true", str(file), 7)
    assert (record["checkpoint"], record["step"], record["size"]) == (str(file), 7, 32)
    assert cam["numbers"]["gt_known_loc"] == cam["numbers"]["corloc"]
    assert cam["numbers"]["top1"] == gradient["numbers"]["top1"]
    assert "c: maps of the true class" in said
    with (objects / "out" / "per-image.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    right = [row["class"] == row["predicted"] for row in rows[:4]]
    assert cam["numbers"]["top1"] == 100 * np.mean(right)
    assert [row["image"] for row in rows[:4]] == [f"{name}.jpg" for name in NAMES]
    assert {"sheet-c-gradient.png", "sheet-c-cam.png"} <= written(objects)


def test_a_classifier_maps_its_prediction_where_images_tell_no_class(tmp_path):
    write_objects(tmp_path, ("1", "2"))
    file = write_classifier(tmp_path / "c.pth", ("ant", "bee"), size=SIDE)
    record, said = run(tmp_path, classifiers=[("c", file)], methods=("cam",))
    cam, perfect, *_ = record["methods"]
    assert (cam["class"], perfect["class"]) == ("predicted", None)
    assert cam["numbers"]["top1"] is None
    assert any(line.startswith("c: maps of the predicted class, as --images") for line in said)


def test_boxes_take_the_place_of_masks_but_for_the_pixels(objects):
    lines = ["path,x0,y0,x1,y1"]
    for name in NAMES:
        rows, columns = np.nonzero(np.asarray(Image.open(objects / "masks" / f"{name}.png")))
        corners = (columns.min(), rows.min(), columns.max(), rows.max())
        lines.append(",".join([f"{name}.jpg", *map(str, corners)]))
    (objects / "boxes.csv").write_text("\n".join([*lines, "more.jpg,0,0,1,1"]))
    record, said = run(objects, truth=None, boxes=objects / "boxes.csv", plots=True)
    numbers = record["methods"][0]["numbers"]
    assert (numbers["pixel_ap"], numbers["corloc"], numbers["energy_inside"]) == (None, 100, 100)
    assert (record["truth_kind"], record["truths_without_image"]) == ("boxes", 1)
    assert "1 truth is of no image, and not used" in said
    assert "pixel-precision-recall.png" not in written(objects)


@pytest.mark.parametrize("folder", ["masks", "perfect"])
def test_an_image_without_truth_or_map_is_an_error_unless_allowed(objects, folder):
    (objects / folder / "bee" / "1.png").unlink()
    words = (
        f"each image of --images {objects / 'images'} must have its truth in --truth "
        f"{objects / 'masks'}, and a map in {objects / 'perfect'}, got 1 without (bee/1.jpg): "
        "add what is missing, or give --allow-missing to score the others"
    )
    with pytest.raises(DiloError, match=re.escape(words)):
        run(objects)
    record, said = run(objects, allow_missing=True)
    assert record["images"] == 3
    assert record["skipped"] == [{"path": "bee/1.jpg", "reason": "no truth or no map"}]
    assert "1 image is skipped: no truth or no map" in said


def test_maps_without_an_image_in_common_are_refused(objects):
    for number, name in enumerate(NAMES):
        save(objects / "other" / f"{name}.png", np.eye(8, dtype=np.uint8))
        (objects / ("perfect", "other")[number % 2] / f"{name}.png").unlink()
    both = [("a", objects / "perfect"), ("b", objects / "other")]
    with pytest.raises(DiloError, match="got 2 folders without one in common"):
        run(objects, maps=both, allow_missing=True)


def test_skipped_images_and_maps_that_say_nothing_are_said(objects):
    (objects / "images" / "ant" / "1.jpg").write_bytes(b"no picture")
    save(objects / "perfect" / "bee" / "2.png", np.full((8, 8), 9, np.uint8))
    record, said = run(objects)
    assert record["images"] == 3
    assert [image["path"] for image in record["skipped"]] == ["ant/1.jpg"]
    assert "1 image is skipped:" in said
    assert any(line.startswith("  ant/1.jpg: ") for line in said)
    assert record["methods"][0]["constant_maps"] == 1
    assert any(line.startswith("perfect: 1 map has one value alone") for line in said)


def test_a_scoring_of_other_maps_goes_beside_and_replaces_no_file(objects):
    run(objects, sheets=True)
    before = {path: path.read_bytes() for path in (objects / "out").iterdir()}
    _, said = run(objects, maps=[("others", objects / "perfect")], sheets=True)
    beside = objects / f"out-{objects.name}"
    assert any(line.endswith(f"this one goes to {beside}") for line in said)
    assert {path: path.read_bytes() for path in (objects / "out").iterdir()} == before
    assert len([*beside.iterdir()]) == len(before)


def test_scored_again_without_sheets_none_of_the_earlier_maps_stay(objects):
    run(objects, sheets=True)
    run(objects, sheets=False)
    assert written(objects) == {"localize.json", "table.txt", "per-image.csv"}


def test_truths_and_maps_that_cannot_be_meant_are_skipped_by_their_reason(objects):
    wide = np.zeros((8, 24), np.uint8)
    wide[2:4, 3:9] = 255
    read = {name: np.asarray(Image.open(objects / "masks" / f"{name}.png")) for name in NAMES}
    save(objects / "masks" / "ant" / "1.png", read["ant/1"] // 3)
    save(objects / "masks" / "ant" / "2.png", wide)
    save(objects / "masks" / "bee" / "1.png", read["bee/1"] // 255)
    save(objects / "perfect" / "bee" / "2.png", wide)
    record, said = run(objects)
    assert record["images"] == 1
    reasons = {entry["path"]: entry["reason"] for entry in record["skipped"]}
    assert (
        "must be white (above 128 of 255) where the object is, got at most 85"
        in (reasons["ant/1.jpg"])
    )
    assert "its mask must have the image's proportions" in reasons["ant/2.jpg"]
    assert "its map in" in reasons["bee/2.jpg"]
    assert any("masks hold 0 and 1, taken as 0 and 255 (1 of 4 looked at)" in line for line in said)
