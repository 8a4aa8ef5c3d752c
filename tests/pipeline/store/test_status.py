"""How far a store is, in words and for machines."""

import json

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
