"""COCO's format: what is read of it, and what is refused with the entry that is wrong."""

import json

import numpy as np
import pytest
from support.detection import DETECTION, HEIGHT, WIDTH, write_coco

from dilo.eval.detect.coco_data import coco_paths, read_coco
from dilo.pipeline.errors import DiloError

ANT = {"image_id": 2, "category_id": 3, "bbox": [1.5, 2, 30, 40], "iscrowd": 0, "area": 600}
CAT = {"image_id": 2, "category_id": 7, "bbox": [0, 0, 10, 10], "iscrowd": 0, "area": 50}
CROWD = {"image_id": 3, "category_id": 7, "bbox": [0, 0, 80, 60], "iscrowd": 1, "area": 4800}
POLYGONS = [[0, 0, 10, 0, 10, 10], [20, 20, 30, 20, 30, 30, 20, 30]]
LENGTHS = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}


def refusal(*arguments, **more):
    with pytest.raises(DiloError) as error:
        read_coco(*arguments, **more)
    return str(error.value)


def test_images_and_categories_go_by_ascending_id_and_boxes_by_their_corners(tmp_path):
    data = read_coco(*write_coco(tmp_path, [CROWD, CAT, ANT]))
    assert [image.image_id for image in data.images] == [1, 2, 3]
    assert (data.classes, data.category_ids) == (("ant", "cat"), (3, 7))
    assert (data.rule, data.name) == ("coco", "annotations")
    image = data.images[1]
    np.testing.assert_array_equal(image.boxes, [[0, 0, 10, 10], [1.5, 2, 31.5, 42]])
    assert image.labels.tolist() == [1, 0]
    assert data.images[2].crowd.tolist() == [True]
    assert data.images[0].boxes.shape == (0, 4)
    # None is left of the image without an object, and of that of a crowd alone.
    assert [image.image_id for image in data.trainable().images] == [2]


def test_masks_are_polygons_or_run_lengths_and_none_where_one_is_missing(tmp_path):
    marked = [{**ANT, "segmentation": POLYGONS}, {**CROWD, "segmentation": LENGTHS}]
    data = read_coco(*write_coco(tmp_path, marked))
    assert [points.tolist() for points in data.images[1].segmentation[0]] == POLYGONS
    assert data.images[2].segmentation == (LENGTHS,)
    assert data.images[0].segmentation == ()
    data = read_coco(*write_coco(tmp_path, [*marked, CAT]))
    assert data.images[1].segmentation is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**ANT, "image_id": 9}, 'an annotation must be of an image in "images", got image_id 9'),
        ({**ANT, "category_id": 4}, 'its class must be in "categories", got category_id 4'),
        ({**ANT, "bbox": [0, 0, -1, 5]}, "bbox must be x, y, width and height in pixels"),
        ({**ANT, "bbox": [0, 0, "1", 5]}, "bbox must be x, y, width and height in pixels"),
        ({**ANT, "bbox": None}, "bbox must be x, y, width and height in pixels, got None"),
        (
            {**ANT, "bbox": [200, 0, 5, 5]},
            "a box must lie in its image, 2.jpg of 80 x 60 px, got x 200, y 0, width 5, height 5",
        ),
        ({**ANT, "iscrowd": 2}, "iscrowd must be 0 or 1, got 2"),
        ({**ANT, "segmentation": [[0, 1, 2]]}, "segmentation must be polygons x0, y0, x1, y1"),
        ({**ANT, "segmentation": [["a", 1]]}, "segmentation must be polygons x0, y0, x1, y1"),
        (
            {**ANT, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [7]}},
            "segmentation must be polygons x0, y0, x1, y1 ..., or run lengths of the image's size, "
            "[60, 80], got {'size': [60, 80], 'counts': [7]}",
        ),
    ],
)
def test_an_annotation_that_is_wrong_is_named_with_its_place_and_id(tmp_path, entry, words):
    folder, file = write_coco(tmp_path, [{**CAT, "segmentation": POLYGONS}, entry])
    assert f"{file}, annotations[1] (id 101): {words}" in refusal(folder, file)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"images": {}}, 'with a list "images", got none: is it a file instances_*.json?'),
        ({"images": [3]}, "images[0]: must be an object of JSON, got 3"),
        ({"images": [{"id": 1.5}]}, "images[0]: an image must have an id, got 1.5"),
        (
            {"images": [{"id": 1, "file_name": "../1.jpg", "height": 1, "width": 1}]},
            "images[0]: file_name must be a path below the folder of images, got '../1.jpg'",
        ),
        (
            {"images": [{"id": 1, "file_name": "1.jpg", "height": 0, "width": 1}]},
            "images[0]: height and width must be whole numbers above 0, got 0 and 1",
        ),
        (
            {"images": [{"id": 1, "file_name": "1.jpg", "height": 2, "width": 1}] * 2},
            "images[1]: an image must stand once, got the id 1 twice",
        ),
        (
            {"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]},
            "categories[1]: a category must have a whole number as its id, each once",
        ),
        ({"categories": []}, "must have images and categories, got 3 and 0"),
    ],
)
def test_a_list_that_is_wrong_is_named(tmp_path, more, words):
    assert words in refusal(*write_coco(tmp_path, [], **more))


def test_what_is_no_json_is_named(tmp_path):
    folder, file = write_coco(tmp_path, [])
    file.write_text("{")
    assert "annotations.json must be JSON" in refusal(folder, file)


def test_annotations_without_their_images_are_refused_and_counted(tmp_path):
    folder, file = write_coco(tmp_path, [ANT])
    (folder / "1.jpg").unlink()
    (folder / "3.jpg").unlink()
    assert refusal(folder, file) == (
        f"{folder} must hold the images of {file}, but 2 of 3 are not there, the first being "
        "3.jpg: is it the folder of this file?"
    )


def test_an_official_file_must_have_all_of_its_images_unless_it_may_be_a_part(tmp_path):
    folder, file = write_coco(tmp_path, [ANT])
    official = file.rename(tmp_path / "instances_val2017.json")
    words = refusal(folder, official)
    assert f"{official} must list 5,000 images, as the official one does, got 3" in words
    assert len(read_coco(folder, official, subset=True).images) == 3


def test_boxes_that_go_beyond_their_image_are_counted_in_a_remark(tmp_path):
    folder, file = write_coco(tmp_path, [CAT, {**ANT, "bbox": [70, 0, 30, 5]}])
    assert read_coco(folder, file).remarks == (
        f"{file}: 1 boxes go beyond their image by more than a pixel, and are cut there, the first "
        "being annotations[1] (id 101)",
    )


def test_the_official_layout_is_found_or_what_is_missing_is_named(tmp_path):
    (tmp_path / "val2017").mkdir()
    with pytest.raises(DiloError) as error:
        coco_paths(tmp_path, "val2017")
    assert str(error.value) == (
        f"--coco {tmp_path} must hold val2017 and annotations/instances_val2017.json, got val2017, "
        f"and no {tmp_path}/annotations/instances_val2017.json: unpack COCO's archives there"
    )
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps({}))
    assert coco_paths(tmp_path, "val2017") == (tmp_path / "val2017", file)


@pytest.mark.skipif(not DETECTION.is_dir(), reason="needs images of COCO beside the repository")
def test_real_files_are_read():
    train, val = (
        read_coco(*coco_paths(DETECTION / "coco", split), subset=True)
        for split in ("train2017", "val2017")
    )
    assert (len(train.images), len(val.images)) == (17, 12)
    assert len(train.classes) == 80
    assert len(train.trainable().images) == 16
    assert sum(bool(image.crowd.any()) for one in (train, val) for image in one.images) == 3
