"""The learning rate: each schedule, its warm-up and its scaling, as numbers."""

import itertools
import math

import pytest

from dilo.train.engine.optim import (
    base_rate,
    describe_extension,
    describe_rate,
    learning_rate,
)
from dilo.train.recipes.recipe import OptimizerRecipe


def rates(steps, *, per_epoch=10, **values):
    """Give the rates of some steps; 1 is the base rate unless it is said otherwise."""
    optimizer = OptimizerRecipe(**{"lr": 1.0, "epochs": 8, **values})
    return [learning_rate(optimizer, step, per_epoch) for step in steps]


ROOT = math.sqrt(0.5)


@pytest.mark.parametrize("by", ["epoch", "step"])
def test_steps_divide_by_ten_at_the_first_step_of_each_milestone(by):
    found = rates([0, 1199, 1200, 1599, 1600, 1999], lr=0.03, epochs=200, by=by)
    assert found == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])


@pytest.mark.parametrize(
    ("by", "warmup", "expected"),
    [
        # Eight epochs of ten steps.
        ("epoch", 0, {0: 1, 9: 1, 20: (1 + ROOT) / 2, 29: (1 + ROOT) / 2, 40: 0.5, 79: 0.0380602}),
        ("step", 0, {0: 1, 20: (1 + ROOT) / 2, 40: 0.5, 60: (1 - ROOT) / 2, 79: 0.0003855}),
        # Four epochs of warm-up leave four.
        ("epoch", 4, {0: 0, 1: 0.025, 39: 0.975, 40: 1, 49: 1, 50: (1 + ROOT) / 2, 69: 0.5}),
        ("step", 4, {0: 0, 1: 0.025, 39: 0.975, 40: 1, 50: (1 + ROOT) / 2, 60: 0.5, 79: 0.0015413}),
        # A warm-up that ends within an epoch: the rest of that epoch is at the top.
        ("epoch", 0.5, {0: 0, 4: 0.8, 5: 1, 9: 1, 10: 0.9890738, 19: 0.9890738}),
        ("step", 0.5, {0: 0, 4: 0.8, 5: 1, 10: 0.9890738, 11: 0.9842916}),
    ],
)
def test_the_cosine_stands_still_in_an_epoch_or_falls_each_step(by, warmup, expected):
    found = rates(expected, schedule="cosine", by=by, warmup=warmup)
    assert found == pytest.approx(list(expected.values()), abs=5e-8)


def test_a_warm_up_rises_to_the_steps_too():
    found = rates([0, 10, 19, 20, 39, 40, 60], warmup=2, milestones=(4, 6))
    assert found == pytest.approx([0, 0.5, 0.95, 1, 1, 0.1, 0.01])


def test_mocos_cosine_is_its_repositorys_and_never_reaches_zero():
    found = rates(range(0, 2000, 10), lr=0.03, epochs=200, schedule="cosine")
    literal = [0.03 * 0.5 * (1 + math.cos(math.pi * epoch / 200)) for epoch in range(200)]
    assert found == pytest.approx(literal, rel=1e-12)
    assert all(a > b > 0 for a, b in itertools.pairwise(found))


def test_simclrs_rate_is_its_repositorys():
    # Ten of a hundred epochs of warm-up at batch 4096, 0.075 times the root of the batch.
    simclr = {"lr": 0.075, "lr_batch": 1, "batch": 4096, "scaling": "sqrt", "epochs": 100}
    found = rates(
        [0, 1, 3119, 3120, 17160, 31199],
        per_epoch=312,
        schedule="cosine",
        by="step",
        warmup=10,
        **simclr,
    )
    last = 4.8 * 0.5 * (1 + math.cos(math.pi * 28079 / 28080))
    assert found == pytest.approx([0, 4.8 / 3120, 4.8 * 3119 / 3120, 4.8, 2.4, last], rel=1e-9)


@pytest.mark.parametrize(
    ("values", "rate", "words"),
    [
        (
            {"batch": 512},
            0.06,
            "learning rate 0.06: 0.03 for a batch of 256, scaled linearly to 512",
        ),
        ({"batch": 64}, 0.0075, "learning rate 0.0075: 0.03 for a batch of 256, scaled linearly"),
        ({"batch": 128, "lr_batch": 128}, 0.03, "learning rate 0.03 for a batch of 128"),
        (
            {"lr": 0.075, "lr_batch": 1, "batch": 256, "scaling": "sqrt"},
            1.2,
            "learning rate 1.2: 0.075 for a batch of 1, scaled by the square root to 256",
        ),
        ({"batch": 512, "scaling": "none"}, 0.03, "learning rate 0.03, whatever the batch"),
    ],
)
def test_the_rate_is_scaled_to_the_batch_and_says_how(values, rate, words):
    optimizer = OptimizerRecipe(**{"lr": 0.03, **values})
    assert base_rate(optimizer) == pytest.approx(rate, rel=1e-12)
    assert describe_rate(optimizer).startswith(words)
    # The schedule starts from there.
    assert learning_rate(optimizer, 0, 10) == base_rate(optimizer)


def test_a_constant_rate_rises_and_stays():
    found = rates(range(80), schedule="constant", warmup=2.0)
    assert found == pytest.approx([step / 20 for step in range(20)] + [1.0] * 60)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        pytest.param(
            {"schedule": "cosine", "by": "step"},
            "jumps from 0.000171 up to 0.111, where the cosine over 15 epochs is, and falls to 0 "
            "again; a run of 15 epochs from the beginning has other rates",
            id="cosine",
        ),
        pytest.param({"schedule": "constant"}, "stays at 0.444", id="constant"),
        pytest.param(
            {"milestones": (2, 12, 14, 20)},
            "stays at 0.0444, and is divided by 10 at epoch 12, 14",
            id="milestones ahead",
        ),
        pytest.param(
            {"milestones": (10,)},
            "falls from 0.444 to 0.0444, past all milestones",
            id="a milestone at the end",
        ),
    ],
)
def test_what_a_schedule_makes_of_more_epochs_is_said(schedule, words):
    before, now = (OptimizerRecipe(lr=4 / 9, epochs=n, **schedule) for n in (10, 15))
    expected = f"extended from 10 to 15 epochs: the learning rate {words}"
    assert describe_extension(before, now, 80, 8) == expected
