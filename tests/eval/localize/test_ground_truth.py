"""Objects by masks and by boxes, and an image with its objects and maps, or why it is skipped."""

import numpy as np
import pytest
from support.located import SIDE, write_objects
from support.maps import save

from dilo.eval.common.pairing import find_images_of_truth, open_masks
from dilo.eval.localize.ground_truth import BoxTruth, Dataset, MaskTruth, Sample
from dilo.pipeline.errors import DiloError


def test_a_mask_is_squashed_to_the_nearest_pixels_and_boxed_by_component(tmp_path):
    pixels = np.zeros((8, 16), np.uint8)
    pixels[2:4, 4:8] = 129
    pixels[6:, 14:] = 255
    pixels[0, 0] = 128  # not above
    save(tmp_path / "a" / "1.png", pixels)
    truth = MaskTruth(tmp_path)
    objects = truth.objects("a/1", (8, 16, 3), 8)
    expected = np.zeros((8, 8), bool)
    expected[2:4, 2:4] = expected[6:, 7:] = True
    assert np.array_equal(objects.mask, expected)
    assert sorted(objects.boxes.tolist()) == [[2, 2, 3, 3], [7, 6, 7, 7]]
    assert (truth.keys, truth.by_pixel, truth.where) == (["a/1"], True, f"--truth {tmp_path}")


def test_an_empty_mask_has_no_box(tmp_path):
    save(tmp_path / "1.png", np.zeros((4, 4), np.uint8))
    objects = MaskTruth(tmp_path).objects("1", (4, 4), 8)
    assert (objects.mask.any(), objects.boxes.shape) == (False, (0, 4))


def test_boxes_are_scaled_by_the_image_or_by_what_they_were_drawn_on(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text("1.jpg,0,0,10,10\n")
    truth = BoxTruth(file)
    assert (truth.keys, truth.by_pixel, truth.where) == (["1"], False, f"--boxes {file}")
    objects = truth.objects("1", (20, 40, 3), 8)
    assert objects.boxes.tolist() == [[0, 0, 2, 4]]
    assert objects.mask.sum() == 15
    (tmp_path / "xml").mkdir()
    box = "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>10</xmax><ymax>10</ymax></bndbox>"
    size = "<size><width>80</width><height>20</height></size>"
    (tmp_path / "xml" / "1.xml").write_text(f"<a>{size}<object>{box}</object></a>")
    of_a_copy = BoxTruth(tmp_path / "xml").objects("1", (5, 5, 3), 8)
    assert of_a_copy.boxes.tolist() == [[0, 0, 1, 4]]


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(DiloError, match=r"1\.png must be a picture"):
        MaskTruth(tmp_path).objects("1", (4, 4), 8)


@pytest.fixture
def dataset(tmp_path):
    write_objects(tmp_path, ("a/1", "a/2"))
    truth = MaskTruth(tmp_path / "masks")
    keys = list(truth.keys)
    methods = [open_masks("perfect", tmp_path / "perfect", keys)]
    return Dataset(find_images_of_truth(tmp_path / "images", keys), truth, methods, 16)


def test_image_truth_and_maps_are_squashed_alike(dataset):
    sample = dataset.read("a/2")
    assert isinstance(sample, Sample)
    assert (sample.key, sample.path, sample.shape) == ("a/2", "a/2.jpg", (SIDE, SIDE))
    assert sample.image.shape == (16, 16, 3)
    assert sample.objects.mask.shape == sample.stored[0].shape == (16, 16)
    assert np.mean((sample.stored[0] > 127) == sample.objects.mask) > 0.85
    assert (sample.image.mean(axis=2) > 150)[sample.objects.mask].mean() > 0.8


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("images/a/1.jpg", "no image"),
        ("masks/a/1.png", "masks/a/1.png must be a picture"),
        ("perfect/a/1.png", "perfect/a/1.png must be a picture"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_reason(dataset, tmp_path, file, words):
    (tmp_path / file).write_bytes(b"nothing")
    reason = dataset.read("a/1")
    assert isinstance(reason, str)
    assert words in reason or file.startswith("images")
    assert isinstance(dataset.read("a/2"), Sample)


def test_an_image_without_object_is_skipped(dataset, tmp_path):
    save(tmp_path / "masks" / "a" / "1.png", np.zeros((8, 8), np.uint8))
    assert dataset.read("a/1") == (f"there is no object in its truth, --truth {tmp_path / 'masks'}")
