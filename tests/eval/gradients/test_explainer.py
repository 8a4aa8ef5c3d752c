"""What a classifier makes of images: whose score is mapped, and what is said of it."""

import json

import numpy as np
import pytest
import torch
from support.classifiers import small_classifier
from support.folders import write_class_folders

from dilo.eval.attribution.maps import attribution_maps
from dilo.eval.features.folders import any_folder
from dilo.eval.gradients.evaluation import gradients_record, readable_images
from dilo.eval.gradients.explainer import Explainer, explain_images
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images import decode
from dilo.train.data.evaluation import center_crop

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def folder(tmp_path):
    """Write six images of three classes."""
    return any_folder(write_class_folders(tmp_path / "images", CLASSES, each=2))


def crop(folder, row):
    return center_crop(decode(folder.root / folder.names[row]), 16)[None] / 255


@pytest.mark.parametrize("which", ["true", "predicted"])
def test_the_score_of_the_class_that_is_asked_for_is_mapped(folder, which):
    names = ("zebra", "cat", "ant", "bee")  # in an order of its own
    classifier = small_classifier(names)
    seen = explain_images(Explainer(classifier, folder, which), range(6), ["gradient", "cam"])
    rights = 0
    for row, one in enumerate(seen):
        scores = classifier.scores(crop(folder, row))[0]
        true = names.index(folder.classes[int(folder.labels[row])])
        wanted = true if which == "true" else int(scores.argmax())
        assert one.label == names[wanted]
        assert one.score == pytest.approx(float(scores[wanted]), rel=1e-4, abs=1e-3)
        assert one.probability == pytest.approx(float(scores.softmax(0)[wanted]), abs=1e-3)
        assert one.right == (int(scores.argmax()) == true)
        rights += one.right
        for method, values in one.maps.items():
            expected = attribution_maps(
                classifier, crop(folder, row), method, torch.tensor([wanted])
            )
            np.testing.assert_allclose(values, expected[0], rtol=1e-3, atol=1e-3)
    assert set(seen[0].maps) == {"gradient", "cam"}


def test_a_classifier_without_names_takes_those_of_a_folder_of_as_many_classes(folder):
    seen = explain_images(Explainer(small_classifier(None), folder, "true"), [0, 2, 4], ["cam"])
    assert [one.label for one in seen] == list(CLASSES)
    assert all(one.right is not None for one in seen)


def test_of_others_classes_the_predicted_can_be_seen_and_not_the_true(folder):
    unnamed = small_classifier(None)
    four = Classifier(unnamed.encoder, torch.randn(4, 128), torch.zeros(4))
    (one,) = explain_images(Explainer(four, folder, "predicted"), [0], ["cam"])
    assert one.label.startswith("class ")
    assert one.right is None
    with pytest.raises(DiloError, match="must have the 4 classes"):
        Explainer(four, folder, "true")


def test_the_true_class_of_images_outside_class_folders_is_refused(folder):
    flat = any_folder(folder.root / "ant")
    with pytest.raises(
        DiloError,
        match=r"--class true: .* no class folders; or give --class predicted",
    ):
        Explainer(small_classifier(CLASSES), flat, "true")
    assert (
        explain_images(Explainer(small_classifier(CLASSES), flat, "predicted"), [1], ["cam"])[
            0
        ].right
        is None
    )


def test_scores_that_are_not_finite_are_refused(folder):
    classifier = small_classifier(CLASSES)
    classifier.weight[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"c\.pt must be finite, got NaN .* diverged"):
        explain_images(Explainer(classifier, folder, "predicted"), [0], ["gradient"])


def test_images_that_cannot_be_read_are_passed_over_and_named(folder):
    (folder.root / folder.names[3]).write_bytes(b"no image")
    assert readable_images(folder, [5, 3, 0, 1], 2) == ([0, 5], [("bee/1.png", "not an image")])
    assert readable_images(folder, [5, 0], 9) == ([0, 5], [])
    with pytest.raises(DiloError, match=r"none of 1 could, the first being bee/1\.png \(not an"):
        readable_images(folder, [3], 2)
    with pytest.raises(DiloError, match=r"bee/1\.png must be an image, got: not an image"):
        explain_images(Explainer(small_classifier(CLASSES), folder, "true"), [3], ["cam"])


def test_the_record_tells_class_and_score_by_each_classifier(folder):
    viewers = {
        name: Explainer(small_classifier(CLASSES, seed=seed), folder, "true")
        for seed, name in enumerate(("first", "second"))
    }
    seen = {name: explain_images(viewer, [1, 4], ["gradient"]) for name, viewer in viewers.items()}
    record = gradients_record(viewers, [1, 4], seen)
    assert json.loads(json.dumps(record)) == record
    assert (record["task"], record["checkpoint"], record["class"]) == ("gradients", "c.pt", "true")
    assert [one["name"] for one in record["classifiers"]] == ["first", "second"]
    assert [(one["path"], one["class"]) for one in record["shown"]] == [
        ("ant/1.png", "ant"),
        ("cat/0.png", "cat"),
    ]
    for i, one in enumerate(record["shown"]):
        assert [(c["name"], c["class"]) for c in one["classifiers"]] == [
            ("first", one["class"]),
            ("second", one["class"]),
        ]
        assert one["classifiers"][1]["score"] == seen["second"][i].score
