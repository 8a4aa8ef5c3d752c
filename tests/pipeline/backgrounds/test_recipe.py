"""The recipe of backgrounds: every number in the plan, and a share of them for each shard."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.names import Names

CROPS = BackgroundRecipe(
    kind="crops", crops=2, count=9, seed=3, quality=80, response=7, min_side=50, masks="f" * 64
)


def plan_of(recipe):
    return recipe.spec(224).plan(Names(["a.jpg", "b.jpg"]), 1)


@pytest.mark.parametrize("recipe", [CROPS, BackgroundRecipe(kind="textures", crops=4)])
def test_a_recipe_is_read_back_from_its_plan(recipe):
    plan = plan_of(recipe)
    assert (plan.kind, plan.method, plan.size) == ("backgrounds", recipe.kind, 224)
    assert BackgroundRecipe.from_plan(plan) == recipe


def test_every_number_decides_the_plan():
    changed = {"crops": 3, "count": None, "seed": 4, "quality": 81, "response": 8, "min_side": 51}
    changed |= {"masks": "e" * 64, "kind": "images", "version": 2, "max_aspect": 3.0}
    assert set(changed) == {field.name for field in dataclasses.fields(CROPS)}
    plans = {
        plan_of(dataclasses.replace(CROPS, **{k: v})).fingerprint() for k, v in changed.items()
    }
    assert len(plans | {plan_of(CROPS).fingerprint()}) == len(changed) + 1


def test_other_kinds_say_nothing_of_masks():
    assert plan_of(BackgroundRecipe(kind="images")).parameters == {
        "crops": 1,
        "count": None,
        "seed": 0,
        "quality": 90,
        "version": 1,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "noise"}, "must be of crops, textures, images, version 1, got noise"),
        ({"parameters": {"version": 2}}, "got crops, version 2: use the dilo that wrote it"),
        ({"parameters": {"colour": 2}}, "must have their parameters: .*'colour'"),
    ],
)
def test_a_plan_of_another_version_is_refused(change, message):
    with pytest.raises(StoreError, match=message):
        BackgroundRecipe.from_plan(dataclasses.replace(plan_of(CROPS), **change))


@given(st.integers(1, 10**7), st.integers(1, 3000), st.integers(1, 200))
def test_the_quotas_of_the_shards_add_up_and_are_even(count, images, shard_size):
    recipe = BackgroundRecipe(kind="images", count=count)
    plan = recipe.spec(16).plan(Names([f"{i:04d}" for i in range(images)]), shard_size)
    quotas = [recipe.quota(plan.rows(shard), images) for shard in range(plan.shards)]
    assert sum(quotas) == count
    for shard, quota in enumerate(quotas):
        assert abs(quota - count * len(plan.rows(shard)) / images) < 1


def test_without_a_count_there_is_no_quota():
    assert BackgroundRecipe(kind="images").quota(range(3), 9) is None


@pytest.mark.parametrize(
    "change",
    [
        {"crops": "3"},
        {"crops": 0},
        {"seed": None},
        {"quality": 101},
        {"count": 2.5},
        {"count": [1]},
        {"max_aspect": "wide"},
        {"max_aspect": float("nan")},
        {"response": True},
    ],
    ids=str,
)
def test_a_plan_of_numbers_that_no_command_line_says_is_refused(change):
    recipe = BackgroundRecipe(kind="crops", response=10, min_side=64, max_aspect=2.0, masks="x")
    plan = recipe.spec(64).plan(Names(["a"]), 1)
    parameters = {**plan.parameters, **change}
    with pytest.raises(StoreError, match=rf"usable number for .*{next(iter(change))}"):
        BackgroundRecipe.from_plan(dataclasses.replace(plan, parameters=parameters))
