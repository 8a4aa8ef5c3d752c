"""Estimates: what they are made from, and how near they come to a real run."""

import json
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea, coffee, rocket
from support.fakes import Fake, fake_maker, ticking
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.arrays import ArrayTask
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks import sample
from dilo.pipeline.masks.computed import MethodSource, mask_spec, open_recipe
from dilo.pipeline.masks.estimate import SHARD_BYTES, Estimate, estimate
from dilo.pipeline.masks.sample import ROW_BYTES, Sample
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store.create import plan_store
from dilo.pipeline.store.maskrows import compressed_size

RBD = MaskRecipe.create("rbd")
FAKE = fake_maker(Fake(), 32)


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 20)


def plan_of(count, shard_size):
    return mask_spec(RBD, 32).plan(Names(str(i) for i in range(count)), shard_size)


def planned(images, store, *, recipe, size, **options):
    return plan_store(images, store, mask_spec(recipe, size), **options)


def content(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_every_field_follows_from_the_clock_and_the_recipe(images, tmp_path, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)
    monkeypatch.setattr(sample, "TARGET_SECONDS", 1e9)
    plan, names = planned(images, tmp_path / "s", recipe=RBD, size=32, shard_size=6)
    found = estimate(
        FolderSource(images), tmp_path / "s", plan, names, FAKE, jobs=3, clock=ticking(0.5)
    )
    row = compressed_size(np.full((32, 32), 7, np.uint8)) + ROW_BYTES + len("class0/000.jpg")
    assert found.sample == Sample(20, 10.0, 20 * row, {})
    assert (found.shards, found.images, found.workers) == (4, 20, 3)
    assert found.seconds == pytest.approx(20 * 0.5 / 3)
    assert found.hours == pytest.approx(20 * 0.5 / 3600)
    beside = len(names.text()) + len(plan.text())
    assert found.bytes == 4 * SHARD_BYTES + 20 * row + beside
    assert found.existing_folder == tmp_path
    record = json.loads(json.dumps(found.as_dict()))
    assert (record["seconds_an_image"], record["workers"]) == (0.5, 3)
    assert record["seconds"] == found.seconds


def test_more_workers_than_cores_or_shards_save_no_time(images, tmp_path, monkeypatch):
    plan, names = planned(images, tmp_path / "s", recipe=RBD, size=32, shard_size=10)

    def taken(cores):
        monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
        return estimate(
            FolderSource(images), tmp_path / "s", plan, names, FAKE, jobs=50, clock=ticking(1e-3)
        )

    assert taken(64).workers == 2
    assert taken(1).workers == 1
    assert taken(1).seconds == pytest.approx(2 * taken(64).seconds)


def test_a_task_of_an_array_is_told_its_share(images, tmp_path):
    plan, names = planned(images, tmp_path / "s", recipe=RBD, size=32, shard_size=3)
    options = {"jobs": 1, "clock": ticking(1e-3), "task": ArrayTask(2, 4)}
    found = estimate(FolderSource(images), tmp_path / "s", plan, names, FAKE, **options)
    assert (found.shards, found.images) == (2, 3 + 2)  # shards 2 and 6
    assert found.report_lines(max_failures=3)[0] == "20 images in 7 shards; to do: 5 images in 2"
    assert found.sample.images == 5


def test_a_cluster_is_told_its_core_hours_alone(images, tmp_path):
    plan, names = planned(images, tmp_path / "s", recipe=RBD, size=32)
    found = estimate(FolderSource(images), tmp_path / "s", plan, names, FAKE, jobs=1, cluster=True)
    assert (found.workers, found.seconds) == (None, None)
    assert any(
        "time: depends on the cluster's size; 0.0" in line
        for line in found.report_lines(max_failures=3)
    )


def test_what_gpus_compute_is_counted_in_their_hours(images, tmp_path):
    plan, names = planned(images, tmp_path / "s", recipe=RBD, size=32)
    options = {"jobs": 1, "unit": "GPU", "clock": ticking(1e-3)}
    found = estimate(FolderSource(images), tmp_path / "s", plan, names, FAKE, **options)
    assert any(line.endswith("each on one GPU") for line in found.report_lines(max_failures=3))
    assert any(line.endswith(" GPU-hours") for line in found.report_lines(max_failures=3))
    assert found.as_dict()["gpu_hours"] == found.hours
    assert "core_hours" not in found.as_dict()


def test_what_is_done_is_not_counted_and_nothing_is_written(images, tmp_path):
    store = tmp_path / "store"
    options = {"recipe": RBD, "size": 32, "shard_size": 5}
    create_mask_store(images, store, **options)
    ShardBuilder(FolderSource(images), store, MethodSource()).build(1)
    before = content(tmp_path)
    plan, names = planned(images, store, recipe=RBD, size=32)
    found = estimate(FolderSource(images), store, plan, names, FAKE, jobs=1)
    assert content(tmp_path) == before
    assert (found.shards, found.images) == (3, 15)
    assert found.report_lines(max_failures=3)[0] == "20 images in 4 shards; to do: 15 images in 3"
    for shard in (0, 2, 3):
        ShardBuilder(FolderSource(images), store, MethodSource()).build(shard)
    done = estimate(FolderSource(images), store, plan, names, FAKE, jobs=1)
    assert (done.shards, done.images, done.seconds, done.bytes) == (0, 0, 0, 0)
    assert len(done.report_lines(max_failures=3)) == 2


def test_another_plan_is_refused_as_a_run_refuses_it(images, tmp_path):
    store = tmp_path / "store"
    create_mask_store(images, store, recipe=RBD, size=32)
    before = content(store)
    for which, options in (
        (images, {"size": 64}),
        (ImageSelection(images, limit=3), {"size": 32}),
        (images, {"size": 32, "shard_size": 7}),
    ):
        with pytest.raises(StoreError) as run:
            create_mask_store(which, store, recipe=RBD, **options)
        with pytest.raises(StoreError) as dry:
            planned(which, store, recipe=RBD, **options)
        assert str(dry.value) == str(run.value)
    assert content(store) == before
    (store / "shard-00000.h5").touch()
    (store / "plan.json").unlink()
    with pytest.raises(StoreError, match=r"holds shards but no plan\.json"):
        planned(images, store, recipe=RBD, size=32)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DiloError, match="none found"):
        planned(tmp_path, tmp_path / "s", recipe=RBD, size=32)


def test_the_tasks_of_an_array_take_the_list_that_is_there(images, tmp_path):
    create_mask_store(images, tmp_path / "s", recipe=RBD, size=32)
    (images / "class0" / "000.jpg").unlink()
    _, names = planned(images, tmp_path / "s", recipe=RBD, size=32, reuse_list=True)
    assert len(names) == 20


def test_what_does_not_fit_is_warned_of(images, tmp_path):
    plan, names = planned(images, tmp_path / "s", recipe=RBD, size=32)
    found = estimate(FolderSource(images), tmp_path / "s", plan, names, FAKE, jobs=1)
    assert not any(line.startswith("warning") for line in found.report_lines(max_failures=3))
    full = replace(found, bytes=3_000_000_000, free=2_000_000)
    assert full.report_lines(max_failures=3)[-1] == (
        "warning: 3.0 GB do not fit into 2 MB: free some, or give --out on another disk"
    )


def test_failures_beyond_those_named_are_counted():
    taken = Sample(5, 1.0, 500, {f"{i}.jpg": "not an image" for i in range(5)})
    plan = plan_of(5, 1)
    lines = Estimate(plan, 5, 5, 1, taken, 500, Path("/"), 10**9).report_lines(max_failures=2)
    assert lines[-3:] == [
        "  failed: 0.jpg: not an image",
        "  failed: 1.jpg: not an image",
        "  and 3 more",
    ]


def test_the_bytes_foretold_are_those_of_the_run(tmp_path):
    photos = [chelsea(), astronaut(), coffee(), rocket()]
    (tmp_path / "images").mkdir()
    for i in range(24):
        photo = Image.fromarray(photos[i % 4]).rotate(7 * i).resize((200, 160))
        photo.save(tmp_path / f"images/{i}.jpg")
    store = tmp_path / "store"
    options = {"recipe": RBD, "size": 224, "shard_size": 8}
    plan, names = planned(tmp_path / "images", store, **options)
    images, maker = FolderSource(tmp_path / "images"), open_recipe(RBD, 224, names)
    foretold = estimate(images, store, plan, names, maker, jobs=1).bytes
    assert not store.exists()
    create_mask_store(tmp_path / "images", store, **options)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(tmp_path / "images"), store, MethodSource()).build(shard)
    written = sum(path.stat().st_size for path in store.iterdir())
    assert foretold == pytest.approx(written, rel=0.05)
