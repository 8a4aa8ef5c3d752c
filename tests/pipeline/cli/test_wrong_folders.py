"""What if the folder is the wrong one? Every command that writes, moves or replaces is asked."""

import pytest
from support.cli import invoke
from support.programs import content
from support.stores import even_images, even_store

from dilo.pipeline.cli import main

NAMES = [f"{'ab'[i % 2]}/{i}.png" for i in range(6)]
HERE = ("--backend", "threading", "--workers", 1)


@pytest.fixture
def data(tmp_path):
    """Write images, others by other names, masks for each, and a store that lacks a shard."""
    even_images(tmp_path / "images", NAMES)
    even_images(tmp_path / "others", [name.replace("/", "/x") for name in NAMES])
    even_store(tmp_path / "store", dict.fromkeys(NAMES, 50), method="gs")
    return tmp_path


def test_masks_of_other_images_are_refused_by_a_store_that_is_there(data):
    before = content(data / "store")
    words = ("masks", "--images", data / "others", "--out", data / "store", "--method", "gs")
    said = invoke(main, *words, *HERE, status=3).stderr
    assert "a store is never changed: use its settings, or give a new folder" in said
    assert content(data / "store") == before


def test_a_task_of_an_array_with_the_wrong_folder_makes_no_shard_of_failures(data):
    words = ("masks", "--out", data / "new", *HERE)
    invoke(main, *words, "--images", data / "images", "--plan-only")
    before = content(data / "new")
    task = ("--images", data / "others", "--num-tasks", 1, "--task-id", 0)
    said = invoke(main, *words, *task, status=3).stderr
    assert "6 images could not be read, " in said
    assert "is it the folder that the store was made of" in said
    assert content(data / "new") == before


def test_an_import_of_another_folder_of_masks_is_refused_by_the_store(data):
    for name in ("masks", "fewer"):
        even_images(data / name, NAMES[: 6 if name == "masks" else 5])
    words = ("import", "--images", data / "images", "--out", data / "imported", "--plan-only")
    invoke(main, *words, "--png", data / "masks")
    before = content(data / "imported")
    said = invoke(main, *words, "--png", data / "fewer", status=3).stderr
    assert "plan.json says pngs " in said
    said = invoke(main, *words, "--png", data / "others", status=3).stderr
    assert "a store is never changed" in said
    assert content(data / "imported") == before


@pytest.mark.parametrize("out", ["images", "store"])
def test_an_export_into_a_folder_of_other_files_is_refused(data, out):
    before = content(data / out)
    said = invoke(main, "export", data / "store", "--out", data / out, status=3).stderr
    assert "must be empty or an export, got files but no export.json" in said
    assert content(data / out) == before


def test_backgrounds_of_the_wrong_folder_are_not_a_store_of_failures(data):
    listed = ("--list", data / "store" / "images.txt")
    words = ("backgrounds", "--kind", "images", *listed, "--out", data / "crops")
    said = invoke(main, *words, "--images", data / "others", *HERE, status=3).stderr
    assert "images could not be read, " in said
    assert not list((data / "crops").glob("shard-*"))
