"""Candidates: the best of all classes first, what it means second."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.reliance import CLASSES, NINE, Mean, classifier, in_to_in9

from dilo.eval.backgrounds.challenge import Mapping
from dilo.eval.backgrounds.classify import of_challenge, of_folder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.augment.color import normalise

MAPPING = Mapping(Path("m.json"), torch.tensor(list(in_to_in9().values())))


def flat(*colours):
    """Make images of one colour each."""
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, 4, 4)


def thousand(scores, classes=None):
    """Make a classifier whose scores are the same for all images."""
    fake = classifier(Mean(), torch.zeros(1000, 3), classes=classes)
    return Classifier(fake.encoder, fake.weight, scores, classes)


def test_the_best_of_all_1000_counts_even_if_it_is_none_of_the_nine():
    scores = torch.zeros(1000)
    scores[10], scores[3] = 2.0, 1.0  # 10 is none; 3 would be the best of those that are mapped
    classifier_under_test = of_challenge("x", thousand(scores), MAPPING, NINE, "it")
    assert classifier_under_test.predictions(flat((0.0, 0.0, 0.0))).tolist() == [-1]
    scores[12] = 3.0  # 12 % 9
    assert classifier_under_test.predictions(flat((0.0, 0.0, 0.0))).tolist() == [3]


def test_a_mapping_counts_named_classes_in_their_sorted_order():
    names = tuple(f"n{i:04d}" for i in reversed(range(1000)))
    scores = torch.zeros(1000)
    scores[999 - 12] = 1.0  # the row of n0012
    classifier_under_test = of_challenge("x", thousand(scores, names), MAPPING, NINE, "it")
    assert classifier_under_test.predictions(flat((0.0, 0.0, 0.0))).tolist() == [3]


def test_classes_that_a_folder_lacks_mean_none():
    fake = classifier(Mean())
    classifier_under_test = of_folder("x", fake, [CLASSES[2], CLASSES[0]], "it")
    colours = flat((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert classifier_under_test.predictions(colours).tolist() == [1, -1, 0]


def nine(classes=None):
    fake = classifier(Mean(), torch.eye(9, 3), classes=classes)
    encoder = replace(fake.encoder, space="rgb", recipe={})
    return Classifier(encoder, fake.weight, fake.bias, classes)


def test_images_are_clamped_and_standardised_as_in_training():
    classifier_under_test = of_challenge("x", nine(classes=NINE), None, NINE, "it")
    seen = []
    classifier_under_test.classifier.encoder.network.register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    classifier_under_test.predictions(flat((0.3, 1.2, -0.1)))
    torch.testing.assert_close(seen[-1], normalise(flat((0.3, 1.0, 0.0))))
    classifier_under_test.classifier.encoder.network._forward_pre_hooks.clear()


def test_other_classifiers_are_refused():
    with pytest.raises(
        DiloError, match=r"must have 9 classes, or ImageNet's 1000, .* got 3: train"
    ):
        of_challenge("x", classifier(Mean()), MAPPING, NINE, "it")
    with pytest.raises(DiloError, match=r"so --mapping must say which of the 9 .* got none: give"):
        of_challenge("x", thousand(torch.zeros(1000)), None, NINE, "it")
    with pytest.raises(DiloError, match=r"classes of it must be among the 9 of .* got 00_dog"):
        of_challenge("x", nine(classes=tuple("abcdefghi")), None, NINE, "it")


def test_scores_that_are_no_numbers_are_refused():
    fake = thousand(torch.full((1000,), torch.nan))
    classifier_under_test = of_challenge("x", fake, MAPPING, NINE, "it")
    with pytest.raises(CheckpointError, match="must be finite, got NaN or infinity: the training"):
        classifier_under_test.predictions(flat((0.0, 0.0, 0.0)))
