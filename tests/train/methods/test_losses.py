"""Losses: SimCLR's against its definition in loops, its closed forms, and over ranks."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from dilo.train.methods.losses import nt_xent
from dilo.train.runtime import distributed


def directions(samples, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, samples, dim, generator=generator, dtype=torch.float64)
    return functional.normalize(draw, dim=2).unbind(0)


@pytest.mark.parametrize("samples", [2, 5])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_papers_equation_one_view_at_a_time(samples, temperature):
    first, second = directions(samples)
    views = [*first, *second]
    costs, positives, negatives, hits = [], [], [], 0
    for i, view in enumerate(views):
        partner = (i + samples) % (2 * samples)
        logits = {k: float(view @ other) / temperature for k, other in enumerate(views) if k != i}
        costs.append(-math.log(math.exp(logits[partner]) / sum(map(math.exp, logits.values()))))
        positives.append(logits[partner])
        negatives += [value for k, value in logits.items() if k != partner]
        hits += max(logits, key=logits.get) == partner
    output = nt_xent(first, second, temperature)
    both = sum(costs[:samples]) / samples + sum(costs[samples:]) / samples
    assert output.loss.item() == pytest.approx(both, rel=1e-9)
    assert output.scalars["positive"].item() == pytest.approx(sum(positives) / len(positives))
    assert output.scalars["negative"].item() == pytest.approx(sum(negatives) / len(negatives))
    assert output.scalars["accuracy"].item() == pytest.approx(hits / len(views))


@pytest.mark.parametrize(("batch", "published"), [(256, 6.236), (512, 6.930)])
def test_views_that_are_all_alike_cost_the_published_chance_a_direction(batch, published):
    one = functional.normalize(torch.ones(batch, 4), dim=1)
    loss = nt_xent(one, one, 0.1).loss.item()
    assert loss / 2 == pytest.approx(math.log(2 * batch - 1), abs=1e-4)
    assert loss / 2 == pytest.approx(published, abs=1e-3)


def test_ranks_with_a_part_of_the_batch_each_come_to_the_loss_and_gradient_of_one(monkeypatch):
    whole = [view.requires_grad_() for view in directions(6)]
    expected = nt_xent(*whole, 0.2)
    gradients = torch.autograd.grad(expected.loss, whole)
    parts = list(zip(*(view.chunk(3) for view in whole), strict=True))
    everyone = torch.cat([torch.stack(part, dim=1) for part in parts])
    outputs = []
    for rank, part in enumerate(parts):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(distributed, "all_gather_with_grad", lambda _: everyone)
        outputs.append(nt_xent(*part, 0.2))
    mean = torch.stack([output.loss for output in outputs]).mean()
    assert_close(mean, expected.loss)
    assert_close(torch.autograd.grad(mean, whole), gradients)
    for name, value in expected.scalars.items():
        assert_close(torch.stack([output.scalars[name] for output in outputs]).mean(), value)
