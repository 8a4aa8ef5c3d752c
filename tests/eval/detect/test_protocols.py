"""Protocols: their numbers, what follows from a change, and what is refused."""

import dataclasses

import pytest

from dilo.eval.cli.detect import COCO, VOC
from dilo.eval.detect.protocols import PROTOCOLS, describe, deviations, with_overrides
from dilo.eval.detect.recipe import DetectionRecipe, learning_rate
from dilo.pipeline.errors import RecipeError

VOC_24K = PROTOCOLS["voc-24k"]


def test_the_command_knows_the_protocols_by_their_images():
    for data, names in (("voc", VOC), ("coco", COCO)):
        assert [p.name for p in PROTOCOLS.values() if p.data == data] == sorted(
            names, key=list(PROTOCOLS).index
        )
    assert len(PROTOCOLS) == len(VOC) + len(COCO)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_without_changes_deviates_in_nothing(name):
    protocol = PROTOCOLS[name]
    recipe = with_overrides(protocol, arch="resnet50", seed=7)
    assert dataclasses.replace(recipe, seed=0) == protocol.recipe
    assert deviations(protocol, recipe) == []


def test_the_papers_rows_stand_beside_their_protocols():
    rows = {row.backbone: row.box for row in VOC_24K.published}
    assert rows["DiLo-BASNet, MoCo v1"] == (56.9, 82.1, 64.1)
    assert rows["MoCo v1, 200 epochs"] == (55.9, 81.5, 62.6)
    masks = {row.backbone: row.mask for row in PROTOCOLS["coco-fpn-1x"].published}
    assert masks["DiLo-RBD, MoCo v1"] == (36.0, 56.7, 38.6)


def test_a_smaller_batch_takes_more_iterations_at_a_lower_rate():
    recipe = with_overrides(VOC_24K, arch="resnet50", batch=2)
    assert (recipe.groups, recipe.per_group) == (1, 2)
    assert recipe.schedule.iterations == 8 * 24000
    assert recipe.schedule.milestones == (144000, 176000)
    assert recipe.schedule.warmup == 800
    words = deviations(VOC_24K, recipe)
    assert "optimizer.batch 2 instead of 16" in words
    assert "groups 1 instead of 8" in words


def test_fewer_iterations_keep_the_shares_of_the_decays():
    recipe = with_overrides(VOC_24K, arch="resnet50", iterations=240)
    assert recipe.schedule.milestones == (180, 220)
    assert recipe.schedule.warmup == 24


def test_the_sides_of_training_change_with_that_of_the_test():
    recipe = with_overrides(VOC_24K, arch="resnet50", side=400)
    assert (recipe.data.sides[0], recipe.data.sides[-1]) == (240, 400)
    assert recipe.data.longest == 666


def test_a_value_of_the_recipe_comes_last():
    values = {"model": {"rois": 64}, "schedule": {"warmup": 5}}
    recipe = with_overrides(VOC_24K, arch="resnet50", values=values)
    assert (recipe.model.rois, recipe.schedule.warmup) == (64, 5)
    assert recipe.model.anchors == 256


def test_the_rate_rises_from_a_thousandth_and_falls_at_the_milestones():
    schedule = DetectionRecipe().schedule
    rates = [learning_rate(schedule, 0.02, i) for i in (0, 1, 99, 100, 18000, 21999, 22000)]
    expected = [2e-5, 2e-5 + 0.01 * 0.01998, 0.0198002, 0.02, 0.002, 0.002, 0.0002]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groups": 3}, "groups must divide optimizer.batch, 16, got 3"),
        ({"values": {"model": {"roi": 1}}}, "unknown key model.roi.*did you mean"),
        ({"values": {"model": {"rois": 0}}}, "model.rois must be at least 1, got 0"),
        ({"values": {"model": {"frozen": "layer4"}}}, "must leave layer4 to train"),
        ({"values": {"schedule": {"milestones": [9, 5]}}}, "must rise from 0"),
        ({"values": {"optimizer": {"lr": -1.0}}}, "optimizer.lr must be positive"),
        ({"values": {"optimizer": {"epochs": 3}}}, "must stay 1, 0 and none: see schedule"),
        ({"values": {"optimizer": {"schedule": "cosine"}}}, 'must stay "constant" and "step"'),
        ({"values": {"optimizer": {"by": "epoch"}}}, 'must stay "constant" and "step": see'),
        ({"values": {"data": {"side": 8}}}, "must be from 16 to data.longest, 1333"),
        ({"values": {"seed": -1}}, r"seed must be in \[0, 2\*\*63\)"),
    ],
)
def test_values_that_make_no_training_are_refused_in_words(changes, words):
    with pytest.raises(RecipeError, match=f"protocol voc-24k: .*{words}"):
        with_overrides(VOC_24K, arch="resnet50", **changes)


def test_a_training_is_described_in_a_line():
    assert describe(VOC_24K, VOC_24K.recipe) == (
        "voc-24k: resnet50 C4, 24000 iterations, times 0.1 from 18000, 22000, batch 16 in 8 groups"
    )
