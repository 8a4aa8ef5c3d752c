"""Batch norm in groups: what as many devices would compute."""

import copy
import sys

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.networks import batchnorm, grouped_norm
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


def by_a_loop(layer, values):
    """Normalise group by group, by torch's own batch norm; set the running statistics."""
    groups = len(values) // layer.size
    means, variances = layer.running_mean.repeat(groups, 1), layer.running_var.repeat(groups, 1)
    parts = [
        functional.batch_norm(
            part, means[g], variances[g], layer.weight, layer.bias, True, layer.momentum, layer.eps
        )
        for g, part in enumerate(values.chunk(groups))
    ]
    layer.running_mean.copy_(means.mean(0))
    layer.running_var.copy_(variances.mean(0))
    return torch.cat(parts)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_the_loop_to_the_last_bit_and_keeps_the_layout(layout, dtype):
    torch.manual_seed(0)
    layer = GroupedBatchNorm2d(6, 4)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    twin = copy.deepcopy(layer)
    values, slope = torch.randn(2, 12, 6, 5, 5).to(dtype) * 3 + 1
    values, slope = (part.contiguous(memory_format=layout) for part in (values, slope))
    inputs = [values.clone().requires_grad_() for _ in range(2)]
    result, expected = layer(inputs[0]), by_a_loop(twin, inputs[1])
    result.backward(slope)
    expected.backward(slope)
    assert torch.equal(result, expected)
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert torch.equal(layer.weight.grad, twin.weight.grad)
    assert torch.equal(layer.bias.grad, twin.bias.grad)
    assert_close(layer.running_mean, twin.running_mean)
    assert_close(layer.running_var, twin.running_var)
    assert result.stride() == inputs[0].grad.stride() == values.stride()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_operators_give_the_shapes_and_layouts_that_they_promise_a_compiler(layout):
    values = torch.randn(4, 3, 2, 2).bfloat16().contiguous(memory_format=layout)
    weight, bias = torch.rand(2, 3)
    forward, backward = (
        torch.ops.dilo.grouped_batch_norm,
        torch.ops.dilo.grouped_batch_norm_backward,
    )
    results = forward(values, weight, bias, 2, 1e-5)
    slope = torch.randn_like(values).contiguous()
    results += backward(slope, values, weight, *results[1:3], 1e-5)
    with FakeTensorMode(allow_non_fake_inputs=True):
        promised = forward(values, weight, bias, 2, 1e-5)
        promised += backward(slope, values, weight, *promised[1:3], 1e-5)
    for result, promise in zip(results, promised, strict=True):
        assert (result.shape, result.dtype) == (promise.shape, promise.dtype)
        assert result.stride() == promise.stride()


def test_compiled_it_is_the_same_in_one_graph_as_large_for_any_groups():
    graphs = []

    def backend(module, inputs):
        graphs.append(len(module.graph.nodes))
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    images = torch.randn(8, 3, 9, 9)
    for size in (4, 2):
        torch._dynamo.reset()
        network = group_batch_norm(small_network(), size)
        twin = copy.deepcopy(network)
        network.compile(backend=backend, fullgraph=True)
        assert_close(network(images), twin(images))
        network(images).square().mean().backward()
        twin(images).square().mean().backward()
        for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
            assert_close(ours.grad, theirs.grad)
        for ours, theirs in zip(network.buffers(), twin.buffers(), strict=True):
            assert_close(ours, theirs)
    assert len(graphs) == 2
    assert graphs[0] == graphs[1]


def test_a_gpu_for_which_triton_compiles_nothing_is_warned_of_and_takes_the_loop(monkeypatch):
    monkeypatch.setitem(sys.modules, "dilo.train.networks.grouped_norm_kernels", None)
    monkeypatch.setenv("TRITON_CACHE_DIR", "")
    grouped_norm._kernels.cache_clear()
    values, (weight, bias) = torch.randn(4, 3), torch.rand(2, 3)
    with pytest.warns(UserWarning, match=r"one group after the other.* got ModuleNotFound.* gcc"):
        results = grouped_norm._forward_on_gpu(values, weight, bias, 2, 1e-5)
    grouped_norm._kernels.cache_clear()
    expected = grouped_norm.forward_by_loop(values, weight, bias, 2, 1e-5)
    assert all(map(torch.equal, results, expected))


def test_without_scale_and_shift_it_is_the_loop_too():
    plain = nn.Sequential(nn.BatchNorm1d(5, affine=False))
    grouped, values = group_batch_norm(copy.deepcopy(plain), 4), torch.randn(8, 5)
    assert_close(grouped(values), torch.cat([plain(part) for part in values.chunk(2)]))


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
