"""COCO's average precision: its API's own numbers, on whole sets and parts, and of nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.mask import encode
from support.detection import DETECTION, HEIGHT, WIDTH, equal_to_truth, write_coco

from dilo.eval.detect.coco_data import read_coco
from dilo.eval.detect.coco_metric import coco_scores
from dilo.eval.detect.detections import Detections, read_detections


def square(image_id, x, y, side, *, category=3, crowd=0):
    return {
        "image_id": image_id,
        "category_id": category,
        "bbox": [x, y, side, side],
        "iscrowd": crowd,
        "area": side * side,
        "segmentation": [[x, y, x + side, y, x + side, y + side, x, y + side]],
    }


@pytest.fixture(name="data")
def _data(tmp_path):
    return read_coco(*write_coco(tmp_path, [square(1, 5, 5, 20), square(2, 40, 10, 40)]))


def mask_of(box):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, "F")
    x0, y0, x1, y1 = box.astype(int)
    mask[y0:y1, x0:x1] = 1
    return encode(mask)


def with_masks(found):
    return [replace(one, masks=tuple(map(mask_of, one.boxes))) for one in found]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_detections_equal_to_the_truth_score_100(data, kind):
    scores = coco_scores(data, with_masks(equal_to_truth(data)), kind)
    assert scores.numbers == {
        "AP": pytest.approx(100),
        "AP50": pytest.approx(100),
        "AP75": pytest.approx(100),
        "APs": pytest.approx(100),
        "APm": pytest.approx(100),
        "APl": None,
    }
    assert scores.per_class["ant"]["AP"] == pytest.approx(100)
    assert scores.per_class["cat"] == {"AP": None, "AP50": None, "AP75": None}
    assert scores.remarks == ("classes without an object: cat; the means are of the others",)
    assert scores.rule.endswith("masks" if kind == "segm" else "boxes")


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_nothing_found_scores_0(data, kind, capsys):
    assert coco_scores(data, [], kind).numbers == {
        **dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm"), 0.0),
        "APl": None,
    }
    assert capsys.readouterr().out == ""


def test_of_a_part_of_a_set_only_its_images_count(data):
    part = data.chosen([1], "part")
    found = equal_to_truth(data)[:1]
    assert coco_scores(part, found).numbers["AP"] == pytest.approx(100)
    assert coco_scores(data, found).numbers["AP"] == pytest.approx(100 * 51 / 101)


def test_masks_and_boxes_are_scored_apart(data):
    found = with_masks(equal_to_truth(data))
    found = [replace(one, boxes=one.boxes + np.float32(30)) for one in found]
    assert coco_scores(data, found, "bbox").numbers["AP"] == 0.0
    assert coco_scores(data, found, "segm").numbers["AP"] == pytest.approx(100)


def test_a_crowd_is_neither_found_nor_missed_whatever_the_file_leaves_out(tmp_path):
    crowd = square(2, 0, 0, 60, crowd=1)
    plain = {key: value for key, value in square(1, 5, 5, 20).items() if key != "area"}
    data = read_coco(*write_coco(tmp_path, [plain, crowd]))
    box = np.array([[10, 10, 30, 30]], np.float32)
    inside = Detections(2, box, np.ones(1), np.zeros(1, np.int64))
    scores = coco_scores(data, [*equal_to_truth(data)[:1], inside])
    assert scores.numbers["AP"] == pytest.approx(100)


@pytest.mark.parametrize("ids", [[0, 1], [None, None]], ids=["from-0", "none"])
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_annotations_may_be_numbered_from_0_or_not_at_all(tmp_path, ids, kind):
    objects = [square(1, 5, 5, 20), square(2, 40, 10, 40)]
    folder, file = write_coco(tmp_path, objects)
    content = json.loads(file.read_text())
    for entry, number in zip(content["annotations"], ids, strict=True):
        entry.pop("id")
        entry |= {} if number is None else {"id": number}
    file.write_text(json.dumps(content))
    data = read_coco(folder, file)
    scores = coco_scores(data, with_masks(equal_to_truth(data)), kind)
    assert scores.numbers["AP"] == pytest.approx(100)


def test_an_outline_that_encloses_nothing_is_no_part_of_a_mask(tmp_path):
    one = square(1, 5, 5, 20)
    one["segmentation"].insert(0, [50, 5, 60, 30])
    data = read_coco(*write_coco(tmp_path, [one]))
    scores = coco_scores(data, with_masks(equal_to_truth(data)), "segm")
    assert scores.numbers["AP"] == pytest.approx(100)


@pytest.mark.skipif(not DETECTION.is_dir(), reason="needs COCO's demo beside the repository")
@pytest.mark.parametrize(
    ("kind", "file", "expected"),
    [
        ("bbox", "fakebbox", {"AP": 50.4581, "AP50": 69.6973, "AP75": 57.2982}),
        ("segm", "fakesegm", {"AP": 31.9545, "AP50": 56.2288, "AP75": 29.8927}),
    ],
)
def test_the_demo_of_cocos_api_scores_what_it_prints(tmp_path, kind, file, expected):
    annotations = DETECTION / "coco-metric" / "instances_val2014_100.json"
    for image in json.loads(annotations.read_text())["images"]:
        (tmp_path / image["file_name"]).touch()
    data = read_coco(tmp_path, annotations)
    results = DETECTION / "coco-metric" / f"instances_val2014_{file}100_results.json"
    numbers = coco_scores(data, read_detections(results, data), kind).numbers
    assert {key: round(numbers[key], 4) for key in expected} == expected
