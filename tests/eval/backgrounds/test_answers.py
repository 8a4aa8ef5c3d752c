"""Answers: of every candidate to every picture, in the order of the images."""

import torch
from support.reliance import Mean, classifier, classifier_under_test

from dilo.eval.backgrounds.classify import ClassifierUnderTest, predict_all


def test_every_candidate_answers_to_every_variation_in_order():
    turned = ClassifierUnderTest(
        "turned", classifier(Mean(), torch.eye(3).roll(1, 0)), torch.arange(3)
    )
    colours = torch.eye(3)[:, :, None, None]
    batches = [
        ([4, 2], colours[[0, 1]], []),
        ([], None, [(7, "broken")]),
        ([9], colours[[2]], [(1, "gone")]),
    ]
    done = []

    def shown(content):
        yield "as they are", content
        yield "other channels", content.flip(1)

    predictions = predict_all([classifier_under_test(Mean()), turned], batches, shown, done.append)
    assert predictions.positions == [4, 2, 9]
    assert predictions.failures == [(7, "broken"), (1, "gone")]
    assert done == [2, 1, 2]
    told = [{name: t.tolist() for name, t in found.items()} for found in predictions.predictions]
    assert told == [
        {"as they are": [0, 1, 2], "other channels": [2, 1, 0]},
        {"as they are": [1, 2, 0], "other channels": [0, 2, 1]},
    ]
