"""Weights into a network: all of its own, and no others."""

import pytest
import torch
from torch import nn

from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.loading import load_weights


def made(device="cpu"):
    with torch.device(device):
        return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def refused(weights):
    with pytest.raises(CheckpointError) as caught:
        load_weights(made(), weights, "weights.pth must fit", "give others")
    return str(caught.value)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_network_is_filled_whether_its_batches_were_counted_or_not(device):
    weights = {k: v for k, v in made().state_dict().items() if "num_batches" not in k}
    network = made(device)
    load_weights(network, weights, "", "")
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)
    assert network[1].num_batches_tracked == 0


def test_weights_of_another_type_become_those_of_the_network():
    halved = {name: value.half() for name, value in made().state_dict().items()}
    network = made()
    load_weights(network, halved, "", "")
    assert network[0].weight.dtype == torch.float32
    assert torch.equal(network[0].weight, halved["0.weight"].float())


def test_all_that_does_not_fit_is_told_at_once():
    weights = made().state_dict()
    del weights["0.bias"]
    weights |= {"more": torch.ones(1), "1.bias": torch.ones(3), "1.weight": torch.ones(2) / 0}
    assert refused(weights) == (
        "weights.pth must fit, got no 0.bias; the unknown more; 1.weight with values that are not "
        "finite, 1.bias of shape (3,) instead of (2,): give others"
    )


@pytest.mark.parametrize(
    "change", [torch.Tensor.to_sparse, torch.Tensor.int, lambda t: t.to("meta")]
)
def test_what_is_no_dense_tensor_of_floats_is_refused(change):
    weights = made().state_dict()
    weights["1.bias"] = change(weights["1.bias"])
    assert "got 1.bias of type torch." in (words := refused(weights))
    assert "instead of dense floats" in words


def test_weights_that_overflow_the_networks_type_are_refused():
    weights = made().state_dict()
    weights["1.bias"] = torch.tensor([1e300, 0.0], dtype=torch.float64)
    assert "got 1.bias with values too large for torch.float32: give others" in refused(weights)


@pytest.mark.parametrize(
    "change", [lambda t: t.to(torch.complex64), torch.Tensor.to_sparse, lambda t: t.to("meta")]
)
def test_a_count_of_batches_that_is_no_number_is_refused(change):
    weights = made().state_dict()
    weights["1.num_batches_tracked"] = change(weights["1.num_batches_tracked"])
    assert "got 1.num_batches_tracked of type torch." in refused(weights)
