"""Detections as a file in COCO's format."""

import json

import numpy as np
import pytest
from pycocotools.mask import encode
from support.detection import HEIGHT, WIDTH, annotated, set_of

from dilo.eval.detect.detections import Detections, read_detections, write_detections
from dilo.pipeline.errors import ContentError

DATA = set_of([annotated("000001", [], []), annotated(2, [], []), annotated(3, [], [])])


def some(image_id, count, *, masks=False):
    rng = np.random.default_rng(count)
    corner = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 20, (count, 2))], axis=1)
    grid = np.asfortranarray(rng.integers(0, 2, (HEIGHT, WIDTH, count), np.uint8))
    return Detections(
        image_id=image_id,
        boxes=boxes.astype(np.float32),
        scores=rng.random(count).astype(np.float32),
        labels=rng.integers(0, 20, count),
        masks=tuple(encode(grid)) if masks else None,
    )


@pytest.mark.parametrize("masks", [False, True])
def test_what_is_written_is_read_again_to_the_last_bit(tmp_path, masks):
    found = [some("000001", 5, masks=masks), some(3, 7, masks=masks)]
    write_detections(tmp_path / "found.json", found, DATA)
    first, second, third = read_detections(tmp_path / "found.json", DATA)
    for one, other in ((first, found[0]), (third, found[1])):
        assert one.image_id == other.image_id
        np.testing.assert_array_equal(one.boxes.astype(np.float32), other.boxes)
        np.testing.assert_array_equal(one.scores.astype(np.float32), other.scores)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert (one.masks is None) is not masks
    if masks:
        assert [m["counts"].encode() for m in first.masks] == [m["counts"] for m in found[0].masks]
    assert (second.image_id, len(second.boxes), second.boxes.shape[1]) == (2, 0, 4)


def test_the_file_is_a_list_that_cocos_api_takes(tmp_path):
    found = Detections(3, np.array([[1, 2, 4, 8]], np.float32), np.array([0.5]), np.array([6]))
    write_detections(tmp_path / "found.json", [found], DATA)
    entry = {"image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 6], "score": 0.5}
    assert json.loads((tmp_path / "found.json").read_text()) == [entry]
    write_detections(tmp_path / "none.json", [], DATA)
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_masks_of_other_programs_need_no_boxes(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, "F")
    mask[10:20, 30:50] = 1
    code = encode(mask)
    entry = {
        "image_id": 3,
        "category_id": 7,
        "score": 1,
        "segmentation": {**code, "counts": code["counts"].decode()},
    }
    (tmp_path / "found.json").write_text(json.dumps([entry]))
    found = read_detections(tmp_path / "found.json", DATA)[2]
    np.testing.assert_array_equal(found.boxes, [[30, 10, 50, 20]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 9}, "detection 0: must be on an image of the set, got image_id 9"),
        ({"image_id": [3]}, "detection 0: must be on an image of the set, got image_id [3]"),
        ({"category_id": 21}, "detection 0: must be of a class of the set, got category_id 21"),
        ({"bbox": [1, 2, 3]}, "detection 0: must have bbox, x, y, width and height in pixels"),
        ({"bbox": [1, 2, -3, 4]}, "detection 0: must have bbox, x, y, width and height"),
        ({"score": None}, "detection 0: must have bbox, x, y, width and height in pixels, and a"),
        ({"segmentation": {"size": [1, 1], "counts": "a"}}, "of the image's size, [60, 80], with"),
        ({"segmentation": [[1, 2]]}, "segmentation must be run lengths of the image's size"),
    ],
)
def test_an_entry_that_is_wrong_is_named(tmp_path, change, words):
    entry = {"image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 6], "score": 0.5, **change}
    (tmp_path / "found.json").write_text(json.dumps([entry]))
    with pytest.raises(ContentError) as error:
        read_detections(tmp_path / "found.json", DATA)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "found.json must be a list of detections in COCO's format, got none"),
        ("[3]", "found.json, detection 0: must be an object of JSON, got 3"),
        ("[", "found.json must be JSON"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path, text, words):
    (tmp_path / "found.json").write_text(text)
    with pytest.raises(ContentError) as error:
        read_detections(tmp_path / "found.json", DATA)
    assert words in str(error.value)
