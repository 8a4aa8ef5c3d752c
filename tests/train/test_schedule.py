"""The learning rate: MoCo's own schedules."""

import itertools
import math

import pytest

from dilo.train.recipe import OptimizerRecipe
from dilo.train.schedule import learning_rate


def test_steps_divide_by_ten_at_each_milestone():
    optimizer = OptimizerRecipe(lr=0.03, milestones=(120, 160))
    rates = [learning_rate(optimizer, epoch) for epoch in (0, 119, 120, 159, 160, 199)]
    assert rates == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])


def test_the_cosine_falls_from_the_base_rate_and_never_reaches_zero():
    optimizer = OptimizerRecipe(lr=0.03, schedule="cosine", epochs=200)
    rates = [learning_rate(optimizer, epoch) for epoch in range(200)]
    assert rates[0] == 0.03
    assert rates[100] == pytest.approx(0.015)
    assert rates[199] == pytest.approx(0.015 * (1 + math.cos(math.pi * 199 / 200)))
    assert all(a > b > 0 for a, b in itertools.pairwise(rates))
