"""What is asked for is no longer what is there: refused in a sentence that says what to do."""

import shutil

import numpy as np
import pytest
from PIL import Image
from support.cli import invoke
from support.photographs import photograph_folder
from support.programs import content

from dilo.pipeline.cli import main
from dilo.pipeline.store import MaskStore


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    images = photograph_folder(folder / "images", 8)
    masks(images, folder / "store")
    return folder


@pytest.fixture
def there(original, tmp_path):
    for name in ("images", "store"):
        shutil.copytree(original / name, tmp_path / name)
    return tmp_path / "images", tmp_path / "store"


def masks(images, store, *more, status=0):
    words = ("masks", "--images", images, "--out", store, "--shard-size", 1, "--workers", 1)
    words += ("--backend", "threading", *more)
    return invoke(main, *words, status=status).stderr


def test_an_image_added_is_named(there):
    images, store = there
    shutil.copy(images / "class0" / "000.jpg", images / "class0" / "new.jpg")
    said = masks(images, store, status=3)
    assert "plan.json says images 8; asked for images 9 (1 added since, such as 'class0/n" in said
    assert "a store is never changed: use its settings, or give a new folder" in said


def test_an_image_removed_is_named(there):
    images, store = there
    (images / "class1" / "003.jpg").unlink()
    assert "(1 gone since, such as 'class1/003.jpg')" in masks(images, store, status=3)


def test_an_image_renamed_is_named_both_ways(there):
    images, store = there
    (images / "class1" / "003.jpg").rename(images / "class1" / "three.jpg")
    said = masks(images, store, status=3)
    assert "8 of other names (1 added since, such as 'class1/three.jpg'; 1 gone since" in said


def test_an_image_changed_is_named_and_its_shard_can_be_made_anew(there):
    images, store = there
    before = MaskStore(store)["class1/003.jpg"]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)).save(
        images / "class1" / "003.jpg"
    )
    said = masks(images, store, status=3)
    assert "1 images must be those that the store was made of, got others" in said
    assert f"dilo-prep verify {store} --images {images} --repair" in said
    told = invoke(main, "verify", store, "--images", images, "--repair", "--workers", 1, status=1)
    assert "class1/003.jpg: the image changed since" in told.stdout
    assert "to do: 1 image in 1" in masks(images, store)
    assert (MaskStore(store)["class1/003.jpg"] != before).any()
    invoke(main, "verify", store, "--images", images, "--workers", 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "gs"], "plan.json says method 'rbd'; asked for method 'gs'"),
        (["--size", "64"], "plan.json says size 224; asked for size 64"),
        (["--set", "superpixels=99"], "says superpixels 250; asked for superpixels 99"),
    ],
)
def test_another_store_in_its_place_is_refused(there, more, message):
    images, store = there
    before = content(store)
    assert message in masks(images, store, *more, status=3)
    assert content(store) == before


def test_a_store_of_a_newer_format_is_refused_by_every_command(there):
    images, store = there
    plan = store / "plan.json"
    plan.write_text(plan.read_text().replace('"format": 2', '"format": 3'))
    words = f"{plan} must have format 2, got 3: read it with the version of dilo that wrote it"
    assert words in masks(images, store, status=3)
    for command in ("status", "verify"):
        assert words in invoke(main, command, store, status=3).stderr


def test_a_flipped_byte_costs_one_shard_and_no_more(there):
    images, store = there
    sound = content(store)
    shard = store / "shard-00002.h5"
    flipped = bytearray(shard.read_bytes())
    flipped[len(flipped) // 2] ^= 16
    shard.write_bytes(flipped)
    told = invoke(main, "verify", store, "--workers", 1, status=1).stdout
    assert "shard-00002.h5" in told
    assert shard.exists()
    told = invoke(main, "verify", store, "--repair", "--workers", 1, status=1).stdout
    assert f"moved into {store}/damaged: shard-00002.h5" in told
    assert "to do: 1 image in 1" in masks(images, store)
    shutil.rmtree(store / "damaged")
    assert content(store) == sound
    assert "0 faults" in invoke(main, "verify", store, "--workers", 1).stdout


def test_a_list_that_was_damaged_is_written_anew_and_the_shards_are_kept(there):
    images, store = there
    sound = content(store)
    (store / "images.txt").write_text("nonsense\n")
    assert (
        "run the command that made the store again"
        in invoke(main, "verify", store, status=3).stderr
    )
    assert "to do: 0 images in 0" in masks(images, store)
    assert content(store) == sound
