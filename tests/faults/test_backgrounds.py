"""Backgrounds killed as masks are: the same command ends as an undisturbed one of one worker."""

import random
import time

import pytest
from support.backgrounds import masks_of
from support.photographs import photograph_folder
from support.programs import ROUNDS, content, finished, kill_group, run, start

from dilo.pipeline.backgrounds.cropping import BackgroundSource
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.compute.isolation import IsolatedBuilder
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return photograph_folder(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="module")
def masks(images, tmp_path_factory):
    return masks_of(images, tmp_path_factory.mktemp("masks")).folder


def crops(images, masks, store, *more):
    words = ("backgrounds", "--images", images, "--masks", masks, "--out", store, "--count", 40)
    return (*words, "--min-side", 8, "--shard-size", 3, "--workers", 2, *more)


@pytest.fixture(scope="module")
def undisturbed(images, masks, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    run(*crops(images, masks, store, "--workers", 1))
    assert len(BackgroundStore(store)) == 40
    return content(store)


@pytest.mark.parametrize("seed", range((ROUNDS + 1) // 2))
def test_a_run_killed_again_and_again_ends_as_one_by_one_worker(
    images, masks, undisturbed, tmp_path, seed
):
    rng, store = random.Random(seed), tmp_path / "store"
    for _ in range(2):
        process = start(*crops(images, masks, store))
        while process.poll() is None and len(list(store.glob("shard-*"))) < rng.choice((1, 5, 12)):
            time.sleep(0.01)
        kill_group(process)
        there = content(store) if store.exists() else {}
        assert all(there[name] == undisturbed[name] for name in there if name[0] != ".")
    finished(*crops(images, masks, store))
    assert content(store) == undisturbed


def test_a_shard_built_apart_is_the_shard_of_an_undisturbed_run(
    images, masks, undisturbed, tmp_path
):
    finished(*crops(images, masks, tmp_path / "store", "--plan-only"))
    IsolatedBuilder(
        ShardBuilder(FolderSource(images), tmp_path / "store", BackgroundSource(masks))
    ).build(7)
    name = "shard-00007.h5"
    assert (tmp_path / "store" / name).read_bytes() == undisturbed[name]
