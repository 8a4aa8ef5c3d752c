"""An image, its objects and its maps, or why it is left out."""

import numpy as np
import pytest
from support.located import SIDE, write_objects
from support.maps import save

from dilo.eval.common.pairing import find_photographs, open_method
from dilo.eval.localize.ground_truth import Collection, Example, MaskTruth


@pytest.fixture
def collection(tmp_path):
    write_objects(tmp_path, ("a/1", "a/2"))
    truth = MaskTruth(tmp_path / "masks")
    keys = list(truth.keys)
    methods = [open_method("perfect", tmp_path / "perfect", keys)]
    return Collection(find_photographs(tmp_path / "images", keys), truth, methods, 16)


def test_image_truth_and_maps_are_squashed_alike(collection):
    example = collection.read("a/2")
    assert isinstance(example, Example)
    assert (example.key, example.path, example.shape) == ("a/2", "a/2.jpg", (SIDE, SIDE))
    assert example.image.shape == (16, 16, 3)
    assert example.objects.mask.shape == example.stored[0].shape == (16, 16)
    assert np.mean((example.stored[0] > 127) == example.objects.mask) > 0.85
    assert (example.image.mean(axis=2) > 150)[example.objects.mask].mean() > 0.8


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("images/a/1.jpg", "no image"),
        ("masks/a/1.png", "masks/a/1.png must be a picture"),
        ("perfect/a/1.png", "perfect/a/1.png must be a picture"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_reason(collection, tmp_path, file, words):
    (tmp_path / file).write_bytes(b"nothing")
    reason = collection.read("a/1")
    assert isinstance(reason, str)
    assert words in reason or file.startswith("images")
    assert isinstance(collection.read("a/2"), Example)


def test_an_image_without_object_is_left_out(collection, tmp_path):
    save(tmp_path / "masks" / "a" / "1.png", np.zeros((8, 8), np.uint8))
    assert collection.read("a/1") == (
        f"there is no object in its truth, --truth {tmp_path / 'masks'}"
    )
