"""`dilo-prep masks --dry-run`: words, JSON, and nothing written."""

import json

import pytest
from support.cli import invoke
from support.photographs import photograph_folder

from dilo.pipeline.cli import main


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 9)


def masks(images, out, *more, status=0):
    arguments = ("masks", "--images", images, "--out", out, "--size", 32, "--workers", 1)
    return invoke(main, *arguments, *more, status=status)


def test_a_dry_run_foretells_and_writes_nothing(images, tmp_path):
    (images / "class0" / "bad.jpg").write_bytes(b"no image")
    out = tmp_path / "deep" / "store"
    shown = masks(images, out, "--dry-run", "--strict").stdout
    assert "10 images in 1 shard; to do: 10 images in 1" in shown
    assert "sample: 10 images, " in shown
    assert f"free at {tmp_path}" in shown
    assert "  failed: class0/bad.jpg: not an image" in shown
    found = json.loads(masks(images, out, "--dry-run", "--json", "--strict").stdout)
    assert (found["images_to_do"], found["shards_to_do"], found["workers"]) == (10, 1, 1)
    assert found["seconds"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_dry_run_beside_a_store_counts_what_is_left_and_refuses_another(images, tmp_path):
    store = tmp_path / "store"
    masks(images, store, "--shard-size", 3)
    (store / "shard-00001.h5").unlink()
    assert "to do: 3 images in 1" in masks(images, store, "--dry-run").stdout
    assert not (store / "shard-00001.h5").exists()
    refused = masks(images, store, "--dry-run", "--limit", 4, status=3)
    assert refused.stderr == masks(images, store, "--limit", 4, status=3).stderr
    assert "images 9; asked for images 4" in refused.stderr


def test_a_dry_run_of_a_task_says_its_share(images, tmp_path):
    more = ("--dry-run", "--shard-size", 2, "--num-tasks", 2, "--task-id", 1)
    result = masks(images, tmp_path / "store", *more)
    assert "9 images in 5 shards; to do: 4 images in 2" in result.stdout
    assert "time: about 0:00:00 with 1 worker; " in result.stdout
