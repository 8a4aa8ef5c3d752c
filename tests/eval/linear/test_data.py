"""Test images shared by ranks, and scored as by one."""

import pytest
from support.folders import write_class_folders
from support.probes import CPU, tiny_encoder
from support.ranks import on_ranks

from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.linear.data import UNREAD, TestFeatures
from dilo.eval.linear.scoring import true_class_ranks


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_rank_knows_the_place_of_every_image(tmp_path, monkeypatch, count):
    folder = labelled_folder(write_class_folders(tmp_path, ("ant", "bee", "cat"), each=3))
    whole = extract_features(tiny_encoder(tmp_path), folder)
    # The nearest mean, but that two of the three classes are taken for each other.
    weight = whole.vectors.view(3, 3, 6).mean(1)[[0, 2, 1]]
    bias = -weight.square().sum(1) / 2
    expected = true_class_ranks(weight, bias, whole.vectors, whole.labels).tolist()
    (tmp_path / "bee" / "1.png").write_bytes(b"no image")
    expected[4] = UNREAD
    encoders = [tiny_encoder(tmp_path) for _ in range(count)]  # threads share one state of chance
    found = on_ranks(
        monkeypatch,
        count,
        lambda rank: TestFeatures(encoders[rank], folder, CPU, print).ranks(weight, bias),
    )
    assert [places.tolist() for places in found] == [expected] * count
    assert {UNREAD, 0} < set(expected)
