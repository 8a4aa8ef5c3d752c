"""The probe in minutes: it learns, never looks at the test images, and its file acts on images."""

import dataclasses
import json

import pytest
import torch
from support.folders import write_class_folders
from support.probes import folders, write_small

from dilo.eval.features.features import extract_features
from dilo.eval.linear.fast import fast_probe
from dilo.eval.linear.sweep import SweepConfig
from dilo.eval.models.classifier import load_classifier
from dilo.eval.models.encoder import load_encoder

ASKED = SweepConfig(epochs=5, batch=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make features of 24 and 9 images, in three classes."""
    root = tmp_path_factory.mktemp("fast")
    for part, each in (("train", 8), ("test", 3)):
        write_class_folders(root / part, ("ant", "bee", "cat"), each=each, seed=each)
    encoder = load_encoder(write_small(root / "backbone.pt"))
    return encoder, *(extract_features(encoder, folder) for folder in folders(root))


def test_it_tells_colours_apart_and_says_that_it_is_no_protocol(made, tmp_path):
    encoder, bank, queries = made
    record = fast_probe(encoder, bank, queries, ASKED, tmp_path / "out", CPU)
    assert record["last"] == {"epoch": 5, "top1": 100.0, "top5": 100.0}
    assert (record["task"], record["fast"], record["is_protocol"]) == ("linear-fast", True, False)
    assert (record["train_images"], record["test_images"], record["classes"]) == (24, 9, 3)
    assert record["held_out"] == 3
    assert len(record["sweep"]) == len(ASKED.settings)
    assert record["chosen"] in record["sweep"]
    assert record["per_class"] == {"ant": 100.0, "bee": 100.0, "cat": 100.0}
    assert "not a published protocol" in record["deviations"][0]
    json.dumps(record)


def test_the_file_scores_images_by_features_as_they_are(made, tmp_path):
    encoder, bank, queries = made
    fast_probe(encoder, bank, queries, ASKED, tmp_path, CPU)
    classifier = load_classifier(tmp_path)
    assert classifier.classes == ("ant", "bee", "cat")
    scores = queries.vectors @ classifier.weight.T + classifier.bias
    assert (scores.argmax(1) == queries.labels).all()
    images = torch.rand(2, 3, 16, 16)
    expected = encoder.features(images) @ classifier.weight.T + classifier.bias
    torch.testing.assert_close(classifier.scores(images), expected)


def test_the_test_images_do_not_choose(made, tmp_path):
    encoder, bank, queries = made
    turned = dataclasses.replace(queries, labels=(queries.labels + 1) % 3)
    right = fast_probe(encoder, bank, queries, ASKED, tmp_path, CPU)
    wrong = fast_probe(encoder, bank, turned, ASKED, tmp_path, CPU)
    assert (right["sweep"], right["chosen"]) == (wrong["sweep"], wrong["chosen"])
    assert wrong["last"]["top1"] == 0
