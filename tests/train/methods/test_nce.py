"""Noise-contrastive estimation: definition in loops, closed forms, published figures."""

import math

import pytest
import torch
from support.ranks import on_ranks
from torch.nn import functional
from torch.testing import assert_close

from dilo.train.methods.losses import nce
from dilo.train.methods.memory_bank import contrast_slots, init_bank

IMAGENET = 1_281_167


def unset():
    return torch.tensor(-1.0)


def random_logits(batch=6, negatives=20, spread=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(batch, negatives + 1, generator=generator)


def literal(logits, images):
    """Z of a first batch, then the parts of positives and of negatives, one number at a time."""
    rows = [[math.exp(value) for value in row] for row in logits.tolist()]
    batch, noise = len(rows), (len(rows[0]) - 1) / images
    z = images * sum(map(sum, rows)) / (batch * len(rows[0]))
    positive = negative = 0.0
    for row in rows:
        own, *others = (value / z for value in row)
        positive -= math.log(own / (own + noise + 1e-7))
        negative -= sum(math.log(noise / (other + noise + 1e-7)) for other in others)
    return z, positive / batch, negative / batch


@pytest.mark.parametrize("images", [50, 1000, IMAGENET])
def test_the_loss_is_the_definition_read_literally(images):
    logits, constant = random_logits(), unset()
    output = nce(logits, constant, images)
    z, positive, negative = literal(logits, images)
    assert float(constant) == pytest.approx(z, rel=1e-5)
    assert float(output.loss) == pytest.approx(positive + negative, rel=1e-5)
    assert float(output.scalars["positive"]) == pytest.approx(float(logits[:, 0].mean()))


def test_the_first_batch_has_the_published_figures():
    generator = torch.Generator().manual_seed(0)
    bank = init_bank(20_000, 128, generator)
    half = functional.normalize(torch.randn(24, 128, generator=generator), dim=1)
    # With each direction its opposite, so that the mean positive is 0, as it is expected.
    slots = torch.randint(20_000, (24, 4097), generator=generator).repeat(2, 1)
    logits, constant = contrast_slots(torch.cat([half, -half]), bank, slots, 0.07), unset()
    output = nce(logits, constant, IMAGENET)
    assert float(constant) / IMAGENET == pytest.approx(2.21, abs=0.03)
    _, positive, negative = literal(logits, IMAGENET)
    # By chance 9.11, log(2.21 K); the published 9.05 is of one batch, whose error is 0.08.
    assert positive == pytest.approx(math.log(2.21 * 4096), abs=0.015)
    assert positive == pytest.approx(9.05, abs=0.08)
    assert negative == pytest.approx(1.13, abs=0.01)
    assert float(output.loss) == pytest.approx(10.18, abs=0.08)


@pytest.mark.parametrize("negatives", [1, 30, 4096])
def test_identical_embeddings_cost_what_chance_does(negatives):
    logits = torch.full((4, negatives + 1), 1 / 0.07)
    # P is 1/N everywhere, and noise K/N: a positive costs log(K + 1), a negative log(1 + 1/K).
    expected = math.log(negatives + 1) + negatives * math.log1p(1 / negatives)
    assert float(nce(logits, unset(), 100).loss) == pytest.approx(expected, rel=1e-5, abs=2e-5)


def test_z_is_set_once_and_stays_to_the_last_bit():
    constant = unset()
    nce(random_logits(), constant, 1000)
    once = constant.clone()
    assert float(once) > 0
    for seed in range(1, 50):
        nce(random_logits(seed=seed, spread=1.0), constant, 1000)
    assert torch.equal(constant, once)
    given = torch.tensor(1234.5)
    again = nce(random_logits(), given, 1000).loss
    assert float(given) == 1234.5
    assert float(again) != pytest.approx(float(nce(random_logits(), once, 1000).loss), rel=1e-3)


def test_z_is_of_the_batch_of_all_ranks(monkeypatch):
    logits, alone = random_logits(batch=8), unset()
    loss = nce(logits, alone, 1000).loss

    def work(rank):
        constant = unset()
        return nce(logits.chunk(2)[rank], constant, 1000).loss, constant

    (first, z), (second, again) = on_ranks(monkeypatch, 2, work)
    assert_close(z, alone)
    assert torch.equal(z, again)
    assert_close((first + second) / 2, loss)


def test_the_gradient_is_that_of_the_definition():
    logits = random_logits(batch=2, negatives=5).double().requires_grad_()
    z, noise = 700.0, 5 / 100
    probability = logits.exp() / z
    positive = probability[:, 0] / (probability[:, 0] + noise + 1e-7)
    negative = noise / (probability[:, 1:] + noise + 1e-7)
    (-positive.log() - negative.log().sum(1)).mean().backward()
    ours = logits.detach().float().requires_grad_()
    nce(ours, torch.tensor(z), 100).loss.backward()
    assert_close(ours.grad, logits.grad.float())


def test_extreme_similarities_stay_numbers():
    logits = torch.tensor([[100.0, -100.0, 100.0], [-100.0, 100.0, 0.0]]).requires_grad_()
    loss = nce(logits, torch.tensor(1e6), 1000).loss
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_autocast_changes_nothing():
    plain = nce(random_logits(), unset(), 1000).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nce(random_logits(), unset(), 1000).loss, plain)
