"""Batch norm in groups: what as many devices would compute."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.networks import batchnorm
from dilo.train.networks.batchnorm import GroupedBatchNorm2d, group_batch_norm


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_grouped_network_gives_what_each_device_would(groups):
    plain = small_network()
    grouped = group_batch_norm(copy.deepcopy(plain), 8 // groups)
    images = torch.randn(8, 3, 9, 9) * 3 + 1
    devices = [copy.deepcopy(plain) for _ in range(groups)]
    expected = torch.cat([d(part) for d, part in zip(devices, images.chunk(groups), strict=True)])
    assert_close(grouped(images), expected)
    for layer in (1, 4):
        means = torch.stack([d[layer].running_mean for d in devices]).mean(0)
        variances = torch.stack([d[layer].running_var for d in devices]).mean(0)
        assert_close(grouped[layer].running_mean, means)
        assert_close(grouped[layer].running_var, variances)
        assert int(grouped[layer].num_batches_tracked) == 1


def test_gradients_are_those_of_the_devices():
    plain = small_network()
    grouped = group_batch_norm(copy.deepcopy(plain), 3)
    images = torch.randn(6, 3, 9, 9)
    grouped(images).square().mean().backward()
    torch.cat([plain(part) for part in images.chunk(2)]).square().mean().backward()
    for ours, theirs in zip(grouped.parameters(), plain.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad)


def test_eval_mode_is_ordinary_and_the_state_dict_fits_both_ways():
    plain = small_network()
    plain(torch.randn(16, 3, 9, 9))
    grouped = group_batch_norm(copy.deepcopy(plain), 4)
    images = torch.randn(5, 3, 9, 9)
    assert_close(grouped.eval()(images), plain.eval()(images))
    assert list(grouped.state_dict()) == list(plain.state_dict())
    small_network().load_state_dict(grouped.state_dict())


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of the group of 4 samples, got 6"):
        GroupedBatchNorm2d(3, 4)(torch.randn(6, 3, 2, 2))


def test_one_group_of_several_processes_is_synchronised_on_gpus_and_refused_on_cpus(monkeypatch):
    monkeypatch.setattr(batchnorm.distributed, "world_size", lambda: 3)
    with pytest.raises(RecipeError, match=r"on 3 processes without GPUs.* --set model.bn_groups=3"):
        group_batch_norm(small_network(), None)
    without = nn.Sequential(nn.Conv2d(3, 6, 3), nn.LayerNorm(5))
    assert group_batch_norm(without, None) is without
    monkeypatch.setattr(batchnorm.distributed, "on_gpus", lambda: True)
    network = group_batch_norm(small_network(), None)
    assert isinstance(network[1], nn.SyncBatchNorm)
    assert isinstance(network[4], nn.SyncBatchNorm)
