"""An image, its objects and its maps, or why it is left out."""

import numpy as np
import pytest
from support.located import SIDE, write_objects
from support.maps import save

from dilo.eval.common.pairing import find_images_of_truth, open_masks
from dilo.eval.localize.ground_truth import Dataset, MaskTruth, Sample


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


def test_an_image_without_object_is_left_out(dataset, tmp_path):
    save(tmp_path / "masks" / "a" / "1.png", np.zeros((8, 8), np.uint8))
    assert dataset.read("a/1") == (f"there is no object in its truth, --truth {tmp_path / 'masks'}")
