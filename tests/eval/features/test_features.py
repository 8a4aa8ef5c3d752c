"""Labelled folders to matrices of features."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import write_checkpoint
from support.features import chosen_features
from support.folders import write_class_folders
from torch import nn

from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.encoder import Encoder, load_encoder
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.augment.color import normalise
from dilo.train.data.evaluation import center_crop


class Means(nn.Module):
    """The mean of each channel: features that can be computed by hand."""

    def forward(self, images):
        return images.mean((2, 3))


@pytest.fixture
def folder(tmp_path):
    return write_class_folders(tmp_path / "images", ("cat", "ant", "bee"), each=4)


@pytest.fixture
def means(tmp_path):
    return Encoder(Means(), 32, tmp_path / "means.pt")


def test_classes_are_the_first_folders_in_their_sorted_order(tmp_path):
    # By path, "a-b/0.png" comes before "a/0.png"; by class it must not.
    write_class_folders(tmp_path / "images", ("a", "a-b", "a/deep"), each=1)
    folder = labelled_folder(tmp_path / "images")
    assert folder.classes == ("a", "a-b")
    assert list(folder.names) == ["a-b/0.png", "a/0.png", "a/deep/0.png"]
    assert folder.labels.tolist() == [1, 0, 0]


def test_labels_follow_the_classes_that_are_given(folder):
    given = labelled_folder(folder, classes=("zebra", "cat", "bee", "ant"))
    assert given.classes == ("zebra", "cat", "bee", "ant")
    assert given.labels.tolist() == [3] * 4 + [2] * 4 + [1] * 4


def test_an_image_outside_any_class_folder_is_refused(folder):
    Image.new("RGB", (8, 8)).save(folder / "stray.png")
    with pytest.raises(DiloError, match=r"got the image stray\.png outside any: move it"):
        labelled_folder(folder)


def test_a_class_that_is_not_among_the_given_ones_is_refused(folder):
    with pytest.raises(DiloError, match=r"among the 1 of .* got ant, cat: rename or remove"):
        labelled_folder(folder, classes=("bee",))


def test_features_are_those_of_each_image_alone(folder, means):
    listed = labelled_folder(folder)
    found = extract_features(means, listed, batch=5)
    assert found.vectors.shape == (12, 3)
    assert found.vectors.dtype == torch.float32
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.unreadable == ()
    for name, vector in zip(found.paths, found.vectors, strict=True):
        pixels = np.asarray(Image.open(folder / name))
        alone = normalise(center_crop(pixels, 32)[None] / 255).mean((2, 3))[0]
        torch.testing.assert_close(vector, alone)


def test_neither_batches_nor_workers_change_the_features(folder, means):
    listed = labelled_folder(folder)
    plain = extract_features(means, listed, batch=12)
    for batch, workers in ((1, 0), (5, 2)):
        other = extract_features(means, listed, batch=batch, workers=workers)
        torch.testing.assert_close(other.vectors, plain.vectors)
        assert other.paths == plain.paths


def test_the_features_of_a_checkpoint_are_finite_and_differ(folder, tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt"))
    found = extract_features(encoder, labelled_folder(folder))
    assert found.vectors.shape == (12, 128)
    assert float(found.vectors.std(0).mean()) > 1e-3


def test_unreadable_images_are_skipped_and_named(folder, means):
    whole = extract_features(means, labelled_folder(folder))
    listed = labelled_folder(folder)
    # All of the second batch, and one of the last.
    for name in ("ant/3.png", "bee/0.png", "bee/1.png", "cat/2.png"):
        (folder / name).write_bytes(b"no image")
    counted = []
    found = extract_features(means, listed, batch=3, progress=counted.append)
    left = [i for i, name in enumerate(whole.paths) if name in set(found.paths)]
    assert len(left) == 8
    torch.testing.assert_close(found.vectors, whole.vectors[left])
    assert torch.equal(found.labels, whole.labels[left])
    assert [path for path, _ in found.unreadable] == [
        "ant/3.png",
        "bee/0.png",
        "bee/1.png",
        "cat/2.png",
    ]
    assert all(reason for _, reason in found.unreadable)
    assert counted == [3, 3, 3, 3]


def test_a_folder_without_a_readable_image_is_refused(folder, means):
    listed = labelled_folder(folder)
    for name in listed.names:
        (folder / name).write_bytes(b"no image")
    with pytest.raises(DiloError, match=r"none of 12 could, the first being ant/0\.png \("):
        extract_features(means, listed)


def test_features_that_are_not_finite_are_refused(folder, tmp_path):
    def diverge(content):
        content["state_dict"]["module.encoder_q.bn1.weight"] = torch.full((64,), 3e38)

    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt", diverge))
    with pytest.raises(CheckpointError, match=r"c\.pt must be finite, got NaN .* diverged"):
        extract_features(encoder, labelled_folder(folder))


def test_classes_of_a_file_are_numbered_as_the_training_images_are():
    features = chosen_features(torch.randn(3, 4), [1, 0, 1], ("bee", "cat"))
    numbered = features.with_classes(("ant", "bee", "cat"))
    assert numbered.labels.tolist() == [2, 1, 2]
    assert numbered.classes == ("ant", "bee", "cat")
    assert numbered.vectors is features.vectors


def test_a_class_without_rows_does_no_harm_and_one_with_rows_is_refused():
    features = chosen_features(torch.randn(3, 4), [1, 1, 1], ("wasp", "cat"))
    assert features.with_classes(("ant", "bee", "cat")).labels.tolist() == [2, 2, 2]
    features = chosen_features(torch.randn(3, 4), [1, 0, 1], ("wasp", "cat"))
    with pytest.raises(DiloError, match=r"among the 3 of the training images, got wasp: take"):
        features.with_classes(("ant", "bee", "cat"))
