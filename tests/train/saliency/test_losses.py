"""The losses: their definitions read literally, and never anything but a number."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dilo.train.saliency.losses import (
    cross_entropy,
    iou_loss,
    soft_iou,
    ssim_loss,
)


def maps(count=3, height=13, width=17, seed=0):
    rng = np.random.default_rng(seed)
    smooth = rng.random((count, 1, height, width))
    labels = (rng.random((count, 1, height, width)) < 0.3).astype(float)
    return smooth, labels, rng.random((count, 1, height, width))


def tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


def each_pixel(prediction):
    count, _, height, width = prediction.shape
    return ((i, y, x) for i in range(count) for y in range(height) for x in range(width))


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_that_of_each_pixel(weighted):
    p, y, w = maps()
    expected = np.zeros(len(p))
    for i, row, column in each_pixel(p):
        a, b = p[i, 0, row, column], y[i, 0, row, column]
        each = -(b * math.log(a) + (1 - b) * math.log(1 - a))
        expected[i] += each * (w[i, 0, row, column] if weighted else 1) / p[0].size
    logits, truth, weight = tensors(np.log(p / (1 - p)), y, w)
    found = cross_entropy(logits, truth, weight if weighted else None)
    assert_allclose(found, expected, rtol=1e-5)


def window():
    """Make the Gaussian of 11 x 11 pixels with sigma 1.5, of sum 1."""
    values = np.array(
        [[math.exp(-(r * r + c * c) / (2 * 1.5**2)) for c in range(-5, 6)] for r in range(-5, 6)]
    )
    return values / values.sum()


def ssim_at(p, y, row, column):
    """Compute SSIM at one pixel, with zeros beyond the edges."""
    p, y = np.pad(p, 5), np.pad(y, 5)
    a, b = p[row : row + 11, column : column + 11], y[row : row + 11, column : column + 11]
    g = window()
    ma, mb = (g * a).sum(), (g * b).sum()
    va, vb = (g * (a - ma) ** 2).sum(), (g * (b - mb) ** 2).sum()
    covariance = (g * (a - ma) * (b - mb)).sum()
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * ma * mb + c1) * (2 * covariance + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))


@pytest.mark.parametrize("weighted", [False, True])
def test_dissimilarity_is_one_less_ssim_in_a_window_around_each_pixel(weighted):
    p, y, w = maps(2)
    expected = np.zeros(len(p))
    for i, row, column in each_pixel(p):
        each = 1 - ssim_at(p[i, 0], y[i, 0], row, column)
        expected[i] += each * (w[i, 0, row, column] if weighted else 1) / p[0].size
    prediction, truth, weight = tensors(p, y, w)
    found = ssim_loss(prediction, truth, weight if weighted else None)
    assert_allclose(found, expected, rtol=1e-4)


def test_dissimilarity_of_a_map_smaller_than_the_window_too():
    p, y, _ = maps(1, 3, 4)
    expected = np.mean([1 - ssim_at(p[0, 0], y[0, 0], r, c) for r in range(3) for c in range(4)])
    assert_allclose(ssim_loss(*tensors(p, y)), expected, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_union_loss_is_one_less_the_soft_intersection_over_union(weighted):
    p, y, w = maps()
    expected = []
    for i in range(len(p)):
        both = union = 0.0
        for _, row, column in each_pixel(p[:1]):
            a, b = p[i, 0, row, column], y[i, 0, row, column]
            share = w[i, 0, row, column] if weighted else 1
            both += share * a * b
            union += share * (a + b - a * b)
        expected.append(1 - both / union)
    prediction, truth, weight = tensors(p, y, w)
    found = iou_loss(prediction, truth, weight if weighted else None)
    assert_allclose(found, expected, rtol=1e-5)


def test_the_same_labels_cost_nothing():
    (_, y, _) = maps()
    (truth,) = tensors(y)
    assert_allclose(iou_loss(truth, truth), 0, atol=1e-6)
    assert_allclose(ssim_loss(truth, truth), 0, atol=1e-5)


def test_agreement_is_of_the_lesser_over_the_greater():
    first = torch.tensor([[0.2, 0.8], [0.0, 0.0], [0.5, 0.0]])[:, None, None]
    second = torch.tensor([[0.6, 0.4], [0.0, 0.0], [0.0, 0.5]])[:, None, None]
    assert_allclose(soft_iou(first, second), [(0.2 + 0.4) / (0.6 + 0.8), 1, 0], rtol=1e-6)
    assert_allclose(soft_iou(first, first), 1)


CASES = {"empty": 0.0, "full": 1.0}


@pytest.mark.parametrize("truth", CASES.values(), ids=CASES)
@pytest.mark.parametrize("logit", [-1e4, -100.0, -15.0, 0.0, 15.0, 100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("weighing", [1.0, 0.0])
def test_losses_and_gradients_are_numbers_whatever_is_empty(truth, logit, dtype, weighing):
    logits = torch.full((2, 1, 16, 16), logit, dtype=dtype, requires_grad=True)
    wanted = torch.full((2, 1, 16, 16), truth, dtype=dtype)
    weight = torch.full((2, 1, 16, 16), weighing, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = logits.sigmoid()
        losses = [
            cross_entropy(logits, wanted, weight),
            ssim_loss(prediction, wanted, weight),
            iou_loss(prediction, wanted, weight),
        ]
    assert all(loss.dtype == torch.float32 for loss in losses)
    torch.stack(losses).sum().backward()
    assert torch.stack(losses).isfinite().all()
    assert logits.grad.isfinite().all()


def test_an_empty_prediction_of_an_empty_mask_costs_nothing():
    nothing = torch.zeros(1, 1, 8, 8)
    assert iou_loss(nothing, nothing).item() == 0
    assert ssim_loss(nothing, nothing).item() == 0
    assert cross_entropy(torch.full_like(nothing, -1e4), nothing).item() == 0
