"""The sweep against as many runs of torch's own SGD, and how a layer is chosen."""

import math

import pytest
import torch
from support.probes import Sliced
from torch import nn

from dilo.eval.linear.feature_batches import (
    fit_standardizer,
    holdout_mask,
    shuffled_batches,
)
from dilo.eval.linear.sweep import SweepConfig, Trial, choose, sweep
from dilo.pipeline.errors import CheckpointError, DiloError

SMALL = SweepConfig(rates=(0.01, 0.3), decays=(0.0, 0.05), epochs=3, batch=16, seed=2)


def blobs(each=40, classes=4, width=6, seed=0, spread=1.5):
    """Draw a cloud a class, one class after the other as in a folder."""
    numbers = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, width, generator=numbers)
    labels = torch.arange(classes).repeat_interleave(each)
    noise = torch.randn(len(labels), width, generator=numbers)
    return 10 + 3 * (centers[labels] + spread * noise), labels


def trained(rows, labels, lr, decay):
    """Train one layer with torch's SGD, the rate falling along half a cosine."""
    used = ~holdout_mask(labels, SMALL.seed)
    standard = fit_standardizer(rows, used, torch.device("cpu"))
    layer = nn.Linear(rows.shape[1], 4)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr, momentum=0.9, weight_decay=decay)
    total, learnt = int(used.sum()) * SMALL.epochs, 0
    for epoch in range(SMALL.epochs):
        for part, truth in shuffled_batches(rows, labels, used, batch=16, seed=2, epoch=epoch):
            optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * learnt / total))
            loss = nn.functional.cross_entropy(layer(standard.transform(part)), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            learnt += len(part)
    held = standard.transform(rows[~used])
    scores = layer(held).detach()
    right = (scores.argmax(1) == labels[~used]).double().mean().item()
    lost = nn.functional.cross_entropy(scores, labels[~used]).item()
    return layer, standard, 100 * right, lost


def test_a_sweep_is_as_many_runs_of_torchs_sgd():
    rows, labels = blobs()
    result = sweep(Sliced(rows), labels, 4, SMALL)
    assert [(one.lr, one.weight_decay) for one in result.trials] == [
        (0.01, 0.0),
        (0.3, 0.0),
        (0.01, 0.05),
        (0.3, 0.05),
    ]
    runs = [trained(rows, labels, one.lr, one.weight_decay) for one in result.trials]
    for one, (_, _, right, lost) in zip(result.trials, runs, strict=True):
        assert one.top1 == pytest.approx(right)
        assert one.loss == pytest.approx(lost, rel=1e-4)
    assert len({one.loss for one in result.trials}) == 4
    layer, standard, _, _ = runs[result.trials.index(result.best)]
    weight, bias = standard.fold(layer.weight.detach(), layer.bias.detach())
    torch.testing.assert_close(result.weight, weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result.bias, bias, rtol=1e-4, atol=1e-4)


def test_one_held_out_image_of_23_does_not_choose_a_layer_at_a_loss_of_14():
    trials = [
        Trial(3.0, 0.0, 100 * 12 / 23, 14.0),
        Trial(0.1, 0.0, 100 * 11 / 23, 1.2),
        Trial(1e-4, 0.0, 100 * 4 / 23, 1.0),  # beyond the noise, whatever its loss
        Trial(9.0, 0.0, None, None),
    ]
    best, noise, near = choose(trials, 23)
    assert (best, near) == (1, 2)
    assert noise == pytest.approx(100 * math.sqrt(12 * 11 / 23**3))


def test_of_many_held_out_images_only_what_they_do_not_tell_apart_is_a_tie():
    trials = [Trial(1.0, 0.0, 60.0, 2.0), Trial(0.1, 0.0, 59.6, 1.9), Trial(0.3, 0.0, 59.0, 1.0)]
    assert choose(trials, 10_000)[0] == 1
    assert choose(trials, 1_000_000)[0] == 0
    all_right = [Trial(1.0, 0.0, 100.0, 2.0), Trial(0.1, 0.0, 100 - 100 / 16, 1.0)]
    assert choose(all_right, 16)[0] == 1  # one image


def test_the_best_is_near_the_highest_held_out_and_of_those_the_smallest_loss():
    rows, labels = blobs(spread=0.3)
    result = sweep(rows, labels, 4, SMALL)
    highest = max(one.top1 for one in result.trials)
    equals = [one for one in result.trials if one.top1 >= highest - result.noise]
    assert len(equals) == result.near
    assert len(equals) > 1
    assert result.best == min(equals, key=lambda one: one.loss)
    assert result.held_out == 16


def test_a_layer_that_diverges_spoils_no_other():
    rows, labels = blobs()
    result = sweep(
        rows, labels, 4, SweepConfig(rates=(0.01, math.inf), decays=(0.0,), epochs=2, seed=2)
    )
    alone = sweep(rows, labels, 4, SweepConfig(rates=(0.01,), decays=(0.0,), epochs=2, seed=2))
    assert (result.trials[1].top1, result.trials[1].loss) == (None, None)
    assert result.best.lr == 0.01
    torch.testing.assert_close(result.weight, alone.weight)
    with pytest.raises(CheckpointError, match="at one of 1 settings, but all diverged"):
        sweep(rows, labels, 4, SweepConfig(rates=(math.inf,), decays=(0.0,), epochs=2))


def test_progress_counts_the_rows_learnt_from():
    rows, labels = blobs()
    counted = []
    sweep(rows, labels, 4, SMALL, progress=counted.append)
    assert sum(counted) == 3 * (160 - 16)


def test_classes_of_one_image_leave_nothing_to_choose_by():
    with pytest.raises(DiloError, match="a class of at least 2 images"):
        sweep(torch.randn(3, 2), torch.arange(3), 3, SMALL)
