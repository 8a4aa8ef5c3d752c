"""The memory bank: how it begins, what is drawn from it, what is written into it."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from support.ranks import on_ranks
from torch.nn import functional
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.methods.base import ViewBatch
from dilo.train.methods.losses import info_nce
from dilo.train.methods.memory_bank import (
    contrast_slots,
    full_softmax,
    init_bank,
    instance_loss,
    require_negatives,
    sample_negatives,
    update,
)
from dilo.train.recipes.recipe import MemoryRecipe

UNSET = -1.0


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def directions(count, dim, seed=1):
    return functional.normalize(torch.randn(count, dim, generator=seeded(seed)), dim=1)


def batch_of(samples, step=0, part=0):
    return ViewBatch(views=(), samples=torch.as_tensor(samples), step=step, part=part)


def test_a_new_bank_is_the_released_codes():
    bank = init_bank(20_000, 128, seeded())
    assert bank.dtype == torch.float32
    limit = 0.15309
    assert float(bank.abs().max()) == pytest.approx(limit, abs=1e-4)
    counts = torch.histc(bank, 20, -limit, limit)
    assert chisquare(counts.numpy() / 100).pvalue > 1e-3  # a hundredth: slots are many
    norms = bank.norm(dim=1)
    assert float(norms.mean()) == pytest.approx(0.999, abs=0.001)
    assert float(norms.std()) == pytest.approx(0.040, abs=0.001)


def test_a_new_bank_follows_from_the_generator():
    assert torch.equal(init_bank(9, 4, seeded()), init_bank(9, 4, seeded()))
    assert not torch.equal(init_bank(9, 4, seeded()), init_bank(9, 4, seeded(1)))


def test_a_draw_begins_with_the_samples_own_and_is_even_over_all_with_replacement():
    samples, images = list(range(40, 90)), 100
    slots = sample_negatives(batch_of(samples), images, 4000, seed=3)
    assert slots.dtype == torch.int64
    assert slots[:, 0].tolist() == samples
    drawn = slots[:, 1:].numpy()
    assert chisquare(np.bincount(drawn.ravel(), minlength=images)).pvalue > 1e-3
    # Each sample has its own draw, and any slot, the sample's own too, comes in each place.
    assert len({tuple(row) for row in drawn}) == len(samples)
    assert (drawn == np.array(samples)[:, None]).any(1).all()
    few = sample_negatives(batch_of([5]), 3, 20, seed=3)
    assert set(few[0, 1:].tolist()) == {0, 1, 2}


def test_a_draw_depends_on_seed_step_and_part_alone():
    first = sample_negatives(batch_of([1, 2], 5, 1), 1000, 50, seed=3)
    torch.manual_seed(9)
    assert torch.equal(sample_negatives(batch_of([1, 2], 5, 1), 1000, 50, seed=3), first)
    for step, part, seed in [(6, 1, 3), (5, 0, 3), (5, 1, 4), (1, 5, 3)]:
        other = sample_negatives(batch_of([1, 2], step, part), 1000, 50, seed=seed)
        assert (other[:, 1:] == first[:, 1:]).float().mean() < 0.05


@pytest.mark.parametrize("count", [2, 4])
def test_a_draw_is_the_same_for_any_number_of_ranks(monkeypatch, count):
    samples = torch.arange(10, 18)
    alone = sample_negatives(batch_of(samples, 2), 1000, 30, seed=3)
    parts = samples.chunk(count)
    shared = on_ranks(
        monkeypatch,
        count,
        lambda rank: sample_negatives(batch_of(parts[rank], 2), 1000, 30, seed=3),
    )
    assert torch.equal(torch.cat(shared), alone)


def test_scores_are_similarities_of_the_chosen_slots():
    bank, features = init_bank(30, 8, seeded()), directions(4, 8)
    slots = torch.randint(30, (4, 11), generator=seeded())
    logits = contrast_slots(features, bank, slots, 0.07)
    for b in range(4):
        for k in range(11):
            expected = float(features[b] @ bank[slots[b, k]]) / 0.07
            assert float(logits[b, k]) == pytest.approx(expected, abs=1e-4)


def test_the_softmax_over_all_is_cross_entropy_read_literally():
    bank, features, samples = init_bank(30, 8, seeded()), directions(4, 8), [7, 0, 29, 7]
    output = full_softmax(features, bank, torch.tensor(samples), 0.2)
    losses, positives, negatives, hits = [], [], [], []
    for b, own in enumerate(samples):
        logits = [float(features[b] @ slot) / 0.2 for slot in bank]
        losses.append(math.log(sum(map(math.exp, logits))) - logits[own])
        positives.append(logits[own])
        negatives += logits[:own] + logits[own + 1 :]
        hits.append(logits[own] == max(logits))
    assert float(output.loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(output.scalars["positive"]) == pytest.approx(np.mean(positives), abs=1e-5)
    assert float(output.scalars["negative"]) == pytest.approx(np.mean(negatives), abs=1e-5)
    assert float(output.scalars["accuracy"]) == np.mean(hits)


@pytest.mark.parametrize(("slots", "published"), [(4096, 9.11), (16384, 10.50), (65536, 11.88)])
def test_the_first_softmax_loss_is_the_published_one(slots, published):
    bank, half = init_bank(slots, 128, seeded()), directions(64, 128)
    # With each direction its opposite, so that the mean positive is 0, as it is expected.
    features, samples = torch.cat([half, -half]), torch.arange(64).repeat(2)
    loss = full_softmax(features, bank, samples, 0.07).loss
    assert float(loss) == pytest.approx(published, abs=0.015)


@pytest.mark.parametrize("negatives", [0, 6])
def test_identical_embeddings_cost_log_of_the_choices(negatives):
    one = functional.normalize(torch.ones(20, 8), dim=1)
    memory = MemoryRecipe(loss="softmax", negatives=negatives)
    slots = sample_negatives(batch_of([3, 4]), 20, negatives, seed=0)
    output = instance_loss(one[:2], one, slots, memory, torch.tensor(UNSET))
    assert float(output.loss) == pytest.approx(math.log(negatives + 1 if negatives else 20))


def test_the_softmax_over_drawn_slots_is_info_nce_and_leaves_z_alone():
    bank, features, constant = init_bank(30, 8, seeded()), directions(4, 8), torch.tensor(UNSET)
    slots = sample_negatives(batch_of([3, 4, 5, 6]), 30, 12, seed=0)
    memory = MemoryRecipe(loss="softmax", negatives=12, temperature=0.3)
    output = instance_loss(features, bank, slots, memory, constant)
    assert torch.equal(output.loss, info_nce(contrast_slots(features, bank, slots, 0.3)).loss)
    assert float(constant) == UNSET


def test_a_slot_moves_towards_its_feature_and_the_others_stay():
    bank, features, samples = init_bank(30, 8, seeded()), directions(3, 8), [7, 0, 29]
    expected = bank.clone()
    for sample, feature in zip(samples, features, strict=True):
        moved = 0.7 * bank[sample] + 0.3 * feature
        expected[sample] = moved / math.sqrt(sum(float(value) ** 2 for value in moved))
    update(bank, torch.tensor(samples), features, 0.7)
    assert_close(bank, expected)
    assert torch.equal(bank[1:7], expected[1:7])


def test_all_ranks_write_what_one_would(monkeypatch):
    features, samples = directions(6, 8), torch.tensor([7, 0, 29, 3, 4, 5])
    alone = init_bank(30, 8, seeded())
    update(alone, samples, features, 0.5)

    def work(rank):
        bank = init_bank(30, 8, seeded())
        update(bank, samples.chunk(2)[rank], features.chunk(2)[rank], 0.5)
        return bank

    first, second = on_ranks(monkeypatch, 2, work)
    assert torch.equal(first, alone)
    assert torch.equal(second, alone)


def test_of_an_image_that_is_there_twice_the_first_is_remembered():
    bank, features = init_bank(30, 8, seeded()), directions(3, 8)
    once = bank.clone()
    update(once, torch.tensor([7, 4]), features[:2], 0.5)
    update(bank, torch.tensor([7, 4, 7]), features, 0.5)
    assert torch.equal(bank, once)


def test_nce_without_negatives_is_refused():
    require_negatives(MemoryRecipe(loss="softmax", negatives=0))
    require_negatives(MemoryRecipe(loss="nce", negatives=1))
    with pytest.raises(RecipeError, match=r'memory.negatives .* got 0: .*memory.loss="softmax"'):
        require_negatives(MemoryRecipe(loss="nce", negatives=0))
