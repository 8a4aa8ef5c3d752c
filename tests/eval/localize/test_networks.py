"""Maps of classifiers: of the right class, and what is said where it is not known."""

import numpy as np
import pytest
import torch
from support.classifiers import small_classifier
from support.located import SIDE

from dilo.eval.attribution.classes import known_classes
from dilo.eval.attribution.maps import attribution_maps
from dilo.eval.localize.boxes import components
from dilo.eval.localize.ground_truth import Objects, Sample
from dilo.eval.localize.networks import ClassifierMaps, class_of
from dilo.pipeline.errors import DiloError

CLASSES = ("ant", "bee")
MASK = np.ones((SIDE, SIDE), bool)


def samples(*paths):
    rng = np.random.default_rng(1)
    objects = Objects(MASK, components(MASK)[0])
    return [
        Sample(path, path, (9, 9), rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), objects, [])
        for path in paths
    ]


@pytest.mark.parametrize("rule", ["true", "predicted"])
def test_maps_are_those_of_the_class_asked_for(rule):
    classifier, given = small_classifier(CLASSES), samples("bee/1.jpg", "ant/1.jpg", "bee/2.jpg")
    known = {"ant": 0, "bee": 1}
    network = ClassifierMaps("c", classifier, ("cam", "gradient"), known, rule)
    maps, guessed = network.maps(given)
    images = torch.stack([torch.from_numpy(e.image) for e in given]).permute(0, 3, 1, 2) / 255
    assert guessed.tolist() == classifier.scores(images).argmax(1).tolist()
    classes = torch.tensor([1, 0, 1] if rule == "true" else guessed.tolist())
    assert maps.shape == (3, 2, SIDE, SIDE)
    for place, method in enumerate(("cam", "gradient")):
        expected = attribution_maps(classifier, images, method, classes)
        np.testing.assert_allclose(maps[:, place], expected, rtol=1e-4, atol=1e-6)
    assert network.true_rows(given) == [1, 0, 1]


def test_a_class_has_its_name_or_its_number():
    network = ClassifierMaps("c", small_classifier(CLASSES), ("cam",), None, "predicted")
    assert (network.class_name(1), network.true_rows(samples("bee/1.jpg"))) == ("bee", [])
    assert (
        ClassifierMaps("c", small_classifier(None), ("cam",), None, "predicted").class_name(1)
        == "1"
    )


def test_the_class_is_the_first_folder():
    assert [class_of(path) for path in ("a/1.jpg", "a/b/1.jpg", "1.jpg")] == ["a", "a", ""]


def test_the_true_class_is_taken_where_the_classifier_knows_it():
    found = known_classes(small_classifier(CLASSES), ["bee"], "--images i", None)
    assert found == ({"bee": 1}, "true", "")
    found = known_classes(small_classifier(CLASSES), ["bee"], "--images i", "predicted")
    assert found == ({"bee": 1}, "predicted", "")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([], "--images i has no class folders"),
        (["cat"], "classes of --images i must be among the 2 of c.pt, got cat"),
    ],
)
def test_otherwise_the_predicted_one_is_and_why_is_said(classes, words):
    known, rule, reason = known_classes(small_classifier(CLASSES), classes, "--images i", None)
    assert (known, rule) == (None, "predicted")
    assert words in reason
    assert known_classes(small_classifier(CLASSES), classes, "--images i", "predicted")[2] == ""
    with pytest.raises(DiloError, match=f"--class true: {words}.*; or give --class predicted"):
        known_classes(small_classifier(CLASSES), classes, "--images i", "true")
