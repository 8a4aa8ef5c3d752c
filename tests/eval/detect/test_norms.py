"""Batch norm over groups of different sizes, and statistics measured over many batches."""

import pytest
import torch
from torch import nn

from dilo.eval.detect.groups import in_groups
from dilo.eval.detect.norms import PreciseStatistics, SharedStatistics, share_statistics


def generators(count):
    return [torch.Generator()] * count


def images(seed, *shapes):
    torch.manual_seed(seed)
    return [3 * torch.randn(shape, dtype=torch.float64).float() + 1 for shape in shapes]


def test_groups_of_one_size_are_normalised_as_one_batch():
    parts = images(0, (2, 5, 4, 6), (2, 5, 4, 6))
    layer, plain = SharedStatistics(5), nn.BatchNorm2d(5)
    results = torch.cat(in_groups(layer, parts, generators(2)))
    assert torch.allclose(results, plain(torch.cat(parts)), atol=1e-5)
    assert torch.allclose(layer.running_mean, plain.running_mean, atol=1e-6)
    biased = 0.9 + 0.1 * torch.cat(parts).var((0, 2, 3), unbiased=False)
    assert torch.allclose(layer.running_var, biased, atol=1e-5)
    assert layer.num_batches_tracked == 1


def test_groups_of_different_sizes_have_equal_weight():
    parts = images(1, (2, 3, 2, 2), (2, 3, 8, 4), (0, 3, 4, 4))
    layer = SharedStatistics(3)
    results = in_groups(layer, parts, generators(3))
    mean = sum(part.mean((0, 2, 3)) for part in parts[:2]) / 2
    variance = sum(part.square().mean((0, 2, 3)) for part in parts[:2]) / 2 - mean**2
    scale = (variance + layer.eps).rsqrt()
    for part, result in zip(parts, results, strict=True):
        expected = (part - mean[:, None, None]) * scale[:, None, None]
        assert torch.allclose(result, expected, atol=1e-5)


def test_gradients_are_those_of_the_formula_taken_over_all_groups_at_once():
    parts = [part.requires_grad_() for part in images(2, (2, 3, 2, 5), (1, 3, 4, 4))]
    layer = SharedStatistics(3)
    results = in_groups(layer, parts, generators(2))
    sum((result**3).mean() for result in results).backward()
    got = [part.grad.clone() for part in parts]
    others = [part.detach().double().requires_grad_() for part in parts]
    mean = sum(part.mean((0, 2, 3)) for part in others) / 2
    variance = sum(part.square().mean((0, 2, 3)) for part in others) / 2 - mean**2
    scale = (variance + layer.eps).rsqrt()[:, None, None]
    sum((((part - mean[:, None, None]) * scale) ** 3).mean() for part in others).backward()
    for gradient, part in zip(got, others, strict=True):
        assert torch.allclose(gradient.double(), part.grad, atol=1e-5)


def test_half_precision_is_normalised_in_full():
    (part,) = images(3, (2, 4, 30, 30))
    part = part + 100  # whose squares have no room for the variance in 8 bits
    layer = SharedStatistics(4)
    (result,) = in_groups(layer, [part.bfloat16()], generators(1))
    assert result.dtype == torch.bfloat16
    expected = nn.BatchNorm2d(4)(part.bfloat16().float())
    assert torch.allclose(result.float(), expected, atol=0.02)


def test_outside_of_training_and_in_files_it_is_batch_norm():
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    plain(torch.randn(4, 3, 5, 5))
    state = plain.state_dict()
    shared = share_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    shared.load_state_dict(state)
    values = torch.randn(2, 3, 6, 6)
    assert torch.equal(shared.eval()(values), plain.eval()(values))


def test_precise_statistics_are_the_weighted_sums_over_all_batches():
    layer = nn.Sequential(SharedStatistics(2))
    batches = images(4, (2, 2, 3, 3), (2, 2, 6, 4), (4, 2, 1, 2))
    PreciseStatistics(layer).measure(
        batches, lambda batch: in_groups(layer, [batch], generators(1))
    )
    count, mean, square = 0, torch.zeros(2), torch.zeros(2)
    for batch in batches:
        n = batch.numel() // 2
        m, v = batch.mean((0, 2, 3)), batch.var((0, 2, 3), unbiased=False)
        count, mean, square = count + n, mean + n * m, square + n * (m**2 + v * (n - 1) / n)
    assert torch.allclose(layer[0].running_mean, mean / count, atol=1e-5)
    assert torch.allclose(layer[0].running_var, square / count - (mean / count) ** 2, atol=1e-4)
    assert layer[0].momentum == 0.1


def test_layers_in_eval_mode_keep_their_statistics():
    layers = nn.Sequential(SharedStatistics(2).eval(), SharedStatistics(2))
    PreciseStatistics(layers).measure(
        images(5, (2, 2, 3, 3)), lambda batch: in_groups(layers, [batch], generators(1))
    )
    assert layers[0].running_mean.tolist() == [0, 0]
    assert layers[1].running_mean.abs().min() > 0
    assert layers[1].running_var.tolist() != pytest.approx([1, 1])
