"""What made features: equal for equal weights, and the differences in words."""

import dataclasses

import pytest
import torch
from support.features import SOURCE, small_checkpoint

from dilo.eval.features.provenance import FeatureSource
from dilo.eval.models.encoder import load_encoder


def test_weights_are_digested_wherever_the_file_lies_and_whatever_its_layout(tmp_path):
    path = small_checkpoint(tmp_path / "a.pt")
    content = torch.load(path)
    state = content["state_dict"]
    bare = {name.removeprefix("module.encoder_q."): value for name, value in state.items()}
    torch.save({"arch": "resnet18", "state_dict": bare}, tmp_path / "b.pt")
    ours, bare = (
        FeatureSource.of(load_encoder(tmp_path / name, size=16)) for name in ("a.pt", "b.pt")
    )
    assert ours.weights == bare.weights
    assert ours.comparable_fields() == bare.comparable_fields()
    assert ours.differences(bare) == []
    assert (ours.step, bare.step) == (7, None)


def test_one_weight_that_differs_is_another_source(tmp_path):
    path = small_checkpoint(tmp_path / "a.pt")
    content = torch.load(path)
    content["state_dict"]["module.encoder_q.conv1.weight"][3, 1, 0, 2] += 1e-6
    torch.save(content, tmp_path / "b.pt")
    first, second = (FeatureSource.of(load_encoder(tmp_path / name)) for name in ("a.pt", "b.pt"))
    assert first.comparable_fields() != second.comparable_fields()
    (difference,) = first.differences(second)
    assert difference == (
        f"checkpoint {tmp_path / 'a.pt'} (weights {first.weights[:8]}) "
        f"and {tmp_path / 'b.pt'} (weights {second.weights[:8]})"
    )


def test_the_head_counts_only_where_it_is_read_out(tmp_path):
    path = small_checkpoint(tmp_path / "a.pt")
    content = torch.load(path)
    content["state_dict"]["module.encoder_q.fc.bias"] += 1
    torch.save(content, tmp_path / "b.pt")
    for layer, same in (("pooled", True), ("embedding", False)):
        first, second = (
            FeatureSource.of(load_encoder(tmp_path / name, layer=layer))
            for name in ("a.pt", "b.pt")
        )
        assert (first.weights == second.weights) is same
        assert first.layer == layer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"size": 96}, ["size 16 and 96"], id="size"),
        pytest.param({"layer": "embedding"}, ["layer pooled and embedding"], id="layer"),
        pytest.param({"space": "lab", "precision": "bf16"}, None, id="two"),
        pytest.param({"checkpoint": "elsewhere.pt", "step": 8}, [], id="nothing that counts"),
    ],
)
def test_what_differs_is_named(change, words):
    other = dataclasses.replace(SOURCE, **change)
    expected = ["space rgb and lab", "precision fp32 and bf16"] if words is None else words
    assert SOURCE.differences(other) == expected
    assert (SOURCE.comparable_fields() == other.comparable_fields()) is (expected == [])
