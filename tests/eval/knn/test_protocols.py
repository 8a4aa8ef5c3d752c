"""Presets of others' nearest neighbours, as their code has them."""

import dataclasses

import pytest

from dilo.eval.knn.protocols import PROTOCOLS
from dilo.train.recipes import load_recipe


@pytest.mark.parametrize(
    ("name", "output", "ks", "temperature"),
    [
        ("dilo", "pooled", (1, 20, 200), 0.07),
        ("instdisc", "embedding", (200,), 0.07),
        ("moco", "embedding", (200,), 0.1),
        ("lightly", "pooled", (200,), 0.1),
        ("solo", "pooled", (20,), 0.07),
    ],
)
def test_a_protocol_is_what_is_published(name, output, ks, temperature):
    found = PROTOCOLS[name]
    assert (found.output, found.ks) == (output, ks)
    assert found.temperature_for({}) == temperature


@pytest.mark.parametrize(
    ("recipe", "temperature"),
    [("instdisc", 0.07), ("cmc-small", 0.1), ("moco-v2", 0.2), ("simclr-small", 0.5)],
)
def test_instdisc_votes_with_the_temperature_of_training_and_others_with_their_own(
    recipe, temperature
):
    trained = dataclasses.asdict(load_recipe(recipe, []))
    assert PROTOCOLS["instdisc"].temperature_for(trained) == temperature
    assert PROTOCOLS["lightly"].temperature_for(trained) == 0.1


@pytest.mark.parametrize("odd", [None, "warm", 0, -1.0, float("nan")])
def test_a_temperature_that_a_foreign_recipe_garbles_is_not_taken(odd):
    recipe = {"method": "instdisc", "memory": {"temperature": odd}}
    assert PROTOCOLS["instdisc"].temperature_for(recipe) == 0.07
