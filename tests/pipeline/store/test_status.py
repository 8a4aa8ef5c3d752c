"""How far a store is, in words and for machines."""

import json

from PIL import Image
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store.status import format_ranges, missing_shards, status


def test_ranges_are_written_as_batch_systems_read_them():
    assert format_ranges([]) == ""
    assert format_ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def half_done(root, *, broken):
    """Plan six photographs and some broken files; compute every second shard of one image."""
    images = photograph_folder(root / "images", 6)
    for i in range(broken):
        (images / f"a{i:02d}.jpg").write_bytes(b"no image")
    recipe = MaskRecipe.create("rbd", "grabcut")
    plan = create_mask_store(images, root / "store", recipe=recipe, size=16, shard_size=1)
    for shard in range(0, plan.shards, 2):
        ShardBuilder(FolderSource(images), root / "store", MethodSource()).build(shard)
    return root / "store", plan


def test_what_is_missing_and_what_failed_is_counted_and_named(tmp_path):
    store, plan = half_done(tmp_path, broken=2)
    assert missing_shards(store, plan) == [1, 3, 5, 7]
    found = status(store)
    assert found.report_lines(store, say_missing=True, max_failures=9) == [
        f"{store}: 4 of 8 shards, 4 of 8 images, 1 failed",
        "  failed: a00.jpg: not an image",
        "  missing shards: 1,3,5,7",
    ]
    assert len(found.report_lines(store, say_missing=False, max_failures=9)) == 2


def test_masks_of_nothing_are_counted_and_failed_images_are_not_among_them(tmp_path):
    images = photograph_folder(tmp_path / "images", 3)
    (images / "a.jpg").write_bytes(b"no image")
    Image.new("RGB", (40, 30)).save(images / "b.png")  # of one colour
    plan = create_mask_store(images, tmp_path / "store", recipe=MaskRecipe.create("rbd"), size=16)
    ShardBuilder(FolderSource(images), tmp_path / "store", MethodSource()).build(0)
    state = status(tmp_path / "store")
    assert (plan.shards, state.empty_masks) == (1, 1)
    lines = state.report_lines(tmp_path / "store", say_missing=False, max_failures=1)
    assert lines[1] == "  1 mask empty: nothing is salient there"
    assert state.as_dict(tmp_path / "store")["empty_masks"] == 1


def test_many_failures_are_named_in_part_and_recorded_in_full(tmp_path):
    store, _ = half_done(tmp_path, broken=26)
    found = status(store)
    lines = found.report_lines(store, say_missing=False, max_failures=10)
    assert len(lines) == 1 + 10 + 1
    assert lines[-1] == f"  and 3 more: dilo-prep status {store} --json"
    record = json.loads(json.dumps(found.as_dict(store)))
    assert len(record["failed"]) == 13
    assert (record["method"], record["refine"], record["size"]) == ("rbd", "grabcut", 16)
    assert record["done_shards"] + len(record["missing"]) == record["shards"] == 32
