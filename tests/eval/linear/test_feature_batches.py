"""Features as rows: what is held out, their scale, and the order in which they come."""

import numpy as np
import pytest
import torch
from support.probes import Sliced

from dilo.eval.linear import feature_batches as module
from dilo.eval.linear.feature_batches import (
    fit_standardizer,
    holdout_mask,
    shuffled_batches,
)

CPU = torch.device("cpu")


def test_a_tenth_of_each_class_is_held_out_and_one_at_least_of_two():
    labels = torch.tensor([0] * 40 + [1] * 25 + [2] * 3 + [3])[torch.randperm(69)]
    held = holdout_mask(labels, seed=0)
    assert [int(held[labels == c].sum()) for c in range(4)] == [4, 2, 1, 0]


def test_what_is_held_out_is_the_seeds_and_no_run_of_neighbours():
    labels = torch.zeros(400).long()
    held = holdout_mask(labels, seed=0)
    assert held.equal(holdout_mask(labels, seed=0))
    assert not held.equal(holdout_mask(labels, seed=1))
    place = held.nonzero().flatten()
    assert len(place) == 40
    assert place.diff().max() > 1
    assert 100 < place.float().mean() < 300


@pytest.mark.parametrize("chunk", [3, 64])
def test_features_are_standardised_by_the_rows_used_alone(chunk):
    drawn = torch.randn(50, 4) * torch.tensor([1.0, 5.0, 0.1, 2.0]) + 7
    used = torch.arange(50) % 3 > 0
    standard = fit_standardizer(Sliced(drawn), used, CPU, chunk)
    some = drawn[used].numpy().astype(np.float64)
    np.testing.assert_allclose(standard.mean, some.mean(0), rtol=1e-5)
    np.testing.assert_allclose(standard.deviation, some.std(0), rtol=1e-4)
    scaled = standard.transform(drawn[used])
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0, unbiased=False), 1, rtol=1e-4)


def test_a_feature_that_never_varies_is_not_blown_up():
    drawn = torch.cat([torch.randn(50, 1), torch.full((50, 1), 3.0)], 1)
    standard = fit_standardizer(drawn, torch.ones(50, dtype=torch.bool), CPU)
    assert standard.deviation[1] == pytest.approx(1e-3 * standard.deviation[0].item() / 2)
    same = fit_standardizer(torch.ones(5, 2), torch.ones(5, dtype=torch.bool), CPU)
    assert same.transform(torch.ones(5, 2)).abs().max() == 0


def test_a_folded_layer_scores_features_as_they_are():
    drawn = torch.rand(30, 5) * 9
    standard = fit_standardizer(drawn, torch.ones(30, dtype=torch.bool), CPU)
    weight, bias = torch.randn(3, 5), torch.randn(3)
    expected = standard.transform(drawn) @ weight.T + bias
    folded = standard.fold(weight, bias)
    torch.testing.assert_close(drawn @ folded[0].T + folded[1], expected)


@pytest.mark.parametrize("mixed", [64, 128, 131_072])
def test_an_epoch_visits_each_row_used_once_with_its_own_label(monkeypatch, mixed):
    monkeypatch.setattr(module, "MIXED", mixed)
    drawn = torch.arange(300.0)[:, None].expand(300, 2)
    labels, used = torch.arange(300) % 7, torch.arange(300) % 10 > 0
    made = list(shuffled_batches(Sliced(drawn), labels, used, batch=16, seed=0, epoch=0))
    rows = torch.cat([part[:, 0] for part, _ in made]).long()
    assert torch.cat([truth for _, truth in made]).equal(rows % 7)
    assert sorted(rows.tolist()) == [i for i in range(300) if i % 10]
    assert max(len(part) for part, _ in made) == 16
    assert rows.tolist() != sorted(rows.tolist())
    # Neighbours in the file do not stay neighbours.
    assert (rows.diff().abs() > 1).double().mean() > 0.9
    other = list(shuffled_batches(Sliced(drawn), labels, used, batch=16, seed=0, epoch=1))
    assert not other[0][0].equal(made[0][0])
    again = list(shuffled_batches(drawn, labels, used, batch=16, seed=0, epoch=0))
    assert all(one[0].equal(two[0]) for one, two in zip(made, again, strict=True))
