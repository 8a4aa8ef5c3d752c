"""A trunk that moved is found out, whatever of it moved."""

import pytest
import torch
from support.probes import tiny_encoder, write_small

from dilo.eval.features.provenance import digest_of
from dilo.eval.linear.unchanged import require_unchanged, weights_of
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import CheckpointError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("trunk") / "trunk.pt")


@pytest.fixture
def encoder(path):
    return load_encoder(path)


def test_a_trunk_in_eval_mode_stays_what_the_file_holds(encoder):
    kept = weights_of(encoder)
    encoder.features(torch.rand(2, 3, 16, 16))
    require_unchanged(encoder, kept)


def test_a_network_left_in_train_mode_is_found_out(encoder):
    kept = weights_of(encoder)
    encoder.network.train()
    with torch.no_grad():
        encoder.features(torch.rand(2, 3, 16, 16))
    words = r"must stay as .*trunk.pt holds it, got 63 of 126 entries changed, bn1.running_mean"
    with pytest.raises(CheckpointError, match=words):
        require_unchanged(encoder, kept)


@pytest.mark.parametrize(
    "name", ["layer4.1.conv2.weight", "bn1.running_var", "layer1.0.bn1.num_batches_tracked"]
)
def test_one_entry_that_moved_by_one_bit_is_found_out(encoder, name):
    value = encoder.network.state_dict()[name].view(-1)
    value[0] = value[0] + 1 if name.endswith("tracked") else value[0].nextafter(torch.tensor(9.0))
    # The file is what counts: what was kept has moved as well.
    with pytest.raises(CheckpointError, match=f"got 1 of 126 entries changed, {name}"):
        require_unchanged(encoder, weights_of(encoder))


def test_where_the_file_is_gone_the_weights_kept_serve(tmp_path):
    encoder = tiny_encoder(tmp_path / "gone.pt")
    kept = weights_of(encoder)
    require_unchanged(encoder, kept)
    encoder.network.norm.running_mean[0] += 1
    with pytest.raises(CheckpointError, match=r"1 of 7 entries changed, norm\.running_mean"):
        require_unchanged(encoder, kept)


def test_the_digest_is_of_names_and_values(encoder):
    kept = weights_of(encoder)
    assert digest_of(kept) == digest_of({k: v.clone() for k, v in kept.items()})
    first, *_ = kept
    assert digest_of(kept) != digest_of(kept | {first: kept[first] + 1})
    assert digest_of({"a": torch.ones(2)}) != digest_of({"b": torch.ones(2)})
