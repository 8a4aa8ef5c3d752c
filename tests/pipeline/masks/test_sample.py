"""Samples: spread over what is to do, ended in time, with reasons for what failed."""

import pytest
from support.fakes import Fake, fake_maker, ticking
from support.networks import gain
from support.photographs import photograph_folder

from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.masks.computed import mask_spec, open_recipe
from dilo.pipeline.masks.network import InferenceSettings
from dilo.pipeline.masks.sample import MAX_IMAGES, MIN_IMAGES, Sample, spread_rows, take_sample
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.saliency.weights import weights_digest


def plan_of(count, shard_size):
    names = Names(str(i) for i in range(count))
    return mask_spec(MaskRecipe.create("rbd"), 32).plan(names, shard_size)


@pytest.mark.parametrize(("step", "done"), [(0.001, 40), (1.0, MIN_IMAGES), (0.25, 20)])
def test_a_sample_ends_when_its_time_is_up_but_not_before_a_few(tmp_path, step, done):
    images = photograph_folder(tmp_path / "images", 40)
    names = sorted(str(path.relative_to(images)) for path in images.rglob("*.jpg"))
    recipe = Fake()
    found = take_sample(
        FolderSource(images), names, "fake", fake_maker(recipe, 32), clock=ticking(step)
    )
    assert found.images == recipe.calls == done
    assert found.seconds == pytest.approx(done * step)


def test_images_without_a_mask_are_told_with_their_reasons(tmp_path):
    images = photograph_folder(tmp_path / "images", 2)
    (images / "bad.jpg").write_bytes(b"no image")
    names = ["bad.jpg", "class0/000.jpg", "class1/001.jpg"]
    found = take_sample(FolderSource(images), names, "fake", fake_maker(Fake({2}), 32))
    assert found.failed == {
        "bad.jpg": "not an image",
        "class1/001.jpg": "fake failed: ZeroDivisionError: by nothing",
    }
    assert found.images == 3


def test_a_network_s_sample_is_of_whole_batches_after_one_that_does_not_count(tmp_path, networks):
    images = photograph_folder(tmp_path / "images", 11)
    names = sorted(str(path.relative_to(images)) for path in images.rglob("*.jpg"))
    weights = gain(tmp_path / "weights.pt")
    recipe = MaskRecipe.create("net", weights=weights_digest(weights))
    batches = []

    def maker(rows, paths):
        batches.append(len(paths))
        return make(rows, paths)

    make = open_recipe(recipe, 32, Names(names), InferenceSettings(weights, batch=4))
    found = take_sample(FolderSource(images), names, "net", maker, clock=ticking(0.001))
    assert (found.images, found.failed) == (11, {})
    assert [count for count in batches if count > 1] == [4, 4, 4, 3]
    assert found.seconds == pytest.approx(0.003)


def test_rows_are_spread_evenly_over_what_is_to_do_and_each_is_met_once():
    plan = plan_of(1000, 100)
    rows = spread_rows(plan, [1, 4, 9])
    assert len(set(rows)) == MAX_IMAGES
    shards = [row // 100 for row in rows]
    assert {shards.count(shard) for shard in (1, 4, 9)} <= {21, 22}
    assert set(shards[:MIN_IMAGES]) == {1, 4, 9}
    assert sorted(spread_rows(plan_of(5, 2), [0, 2])) == [0, 1, 4]
    assert spread_rows(plan, []) == []


def test_an_empty_sample_takes_nothing(tmp_path):
    found = take_sample(FolderSource(tmp_path), [], "fake", fake_maker(Fake(), 32))
    assert found == Sample(0, 0.0, 0, {})
    assert (found.seconds_each, found.bytes_each) == (0.0, 0.0)
