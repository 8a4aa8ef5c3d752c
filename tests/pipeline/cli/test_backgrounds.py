"""`dilo-prep backgrounds`: kinds, counts, arrays, resume, refusals; and what looks at a store."""

import json

import pytest
from support.backgrounds import masks_of
from support.cli import invoke
from support.photographs import photograph_folder
from support.programs import content

from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.cli import main


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 6)


@pytest.fixture
def masks(images, tmp_path):
    return masks_of(images, tmp_path / "masks").folder


def made(images, out, *more, status=0):
    words = ("backgrounds", "--images", images, "--out", out, "--size", 24, "--workers", 1)
    return invoke(main, *words, "--backend", "threading", *more, status=status)


def crops(images, masks, out, *more, status=0):
    small = ("--masks", masks, "--min-side", 8, "--max-saliency", 40)
    return made(images, out, *small, *more, status=status)


def test_crops_are_of_the_images_that_have_masks(images, masks, tmp_path):
    (images / "later.jpg").touch()
    record = json.loads(crops(images, masks, tmp_path / "store", "--json", "--strict").stdout)
    shown = invoke(main, "status", tmp_path / "store").stdout
    assert "6 of 6 images, 0 failed\n  6 backgrounds from 6 images\n" in shown
    assert (record["kind"], record["method"], record["backgrounds"]) == ("backgrounds", "crops", 6)
    store = BackgroundStore(tmp_path / "store")
    assert (store.kind, len(store)) == ("crops", 6)
    assert (tmp_path / "store" / "images.txt").read_bytes() == (masks / "images.txt").read_bytes()
    parameters = json.loads((tmp_path / "store" / "plan.json").read_text())["parameters"]
    assert parameters == {
        "count": None,
        "crops": 1,
        "masks": record_fingerprint(masks),
        "max_aspect": 2.0,
        "min_side": 8,
        "quality": 90,
        "response": 40,
        "seed": 0,
        "version": 1,
    }


def record_fingerprint(store):
    from dilo.pipeline.store.plan import Plan

    return Plan.load(store).fingerprint()


@pytest.mark.parametrize("aspect", [1, 1.5])
def test_no_crop_is_longer_than_the_aspect_allows(images, masks, tmp_path, aspect):
    crops(images, masks, tmp_path / "store", "--max-aspect", aspect)
    store = BackgroundStore(tmp_path / "store")
    sides = [store.box(i)[2:] for i in range(len(store))]
    assert all(max(box) <= aspect * min(box) for box in sides)
    assert len(sides) == 6


def test_the_other_kinds_need_no_masks(images, tmp_path):
    made(images, tmp_path / "textures", "--kind", "textures")
    made(images, tmp_path / "images-kind", "--kind", "images", "--include", "class1/*")
    assert len(BackgroundStore(tmp_path / "textures")) == 24
    assert len(BackgroundStore(tmp_path / "images-kind")) == 3


def test_a_shortfall_and_images_without_a_window_are_said_and_are_no_failure(
    images, masks, tmp_path
):
    more = ("--min-side", 22, "--count", 60, "--strict")
    said = crops(images, masks, tmp_path / "store", *more).stdout
    store = BackgroundStore(tmp_path / "store")
    assert f"  {len(store)} backgrounds from {len(store)} images; " in said
    assert f"{6 - len(store)} images without a window; {60 - len(store)} fewer than --count" in said
    assert said.splitlines()[-1] in invoke(main, "status", tmp_path / "store").stdout
    empty = tmp_path / "empty"
    said = crops(images, masks, empty, "--min-side", 2000, "--strict").stdout
    assert "0 backgrounds from 0 images; 6 images without a window" in said
    invoke(main, "verify", empty, "--workers", 1)


def test_the_same_command_goes_on_and_the_tasks_of_an_array_make_the_same_bytes(
    images, masks, tmp_path
):
    one, other = tmp_path / "one", tmp_path / "other"
    more = ("--shard-size", 2, "--count", 4, "--seed", 3)
    crops(images, masks, one, *more)
    expected = content(one)
    (one / "shard-00001.h5").unlink()
    assert "to do: 2 images in 1" in crops(images, masks, one, *more).stderr
    assert content(one) == expected
    crops(images, masks, other, *more, "--plan-only")
    for task in (1, 0):
        crops(images, masks, other, *more, "--num-tasks", 2, "--task-id", task)
    assert content(other) == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max-saliency", 41], "says response 40; asked for response 41"),
        (["--crops", 2], "says crops 1; asked for crops 2"),
        (["--count", 3], "says count None; asked for count 3"),
        (["--seed", 1], "says seed 0; asked for seed 1"),
        (["--quality", 80], "says quality 90; asked for quality 80"),
        (["--size", 32], "says size 24; asked for size 32"),
    ],
)
def test_another_store_in_its_place_is_refused_by_name(images, masks, tmp_path, more, message):
    crops(images, masks, tmp_path / "store", "--plan-only")
    assert message in crops(images, masks, tmp_path / "store", *more, status=3).stderr


def test_wrong_usage_is_said_in_a_sentence(images, masks, tmp_path):
    store = tmp_path / "store"
    for more, message in (
        ([], "--kind crops needs --masks STORE"),
        (["--kind", "textures", "--masks", masks], "--masks belongs to --kind crops, got textures"),
        (["--kind", "images", "--max-saliency", 0], "--max-saliency belongs to --kind crops, got"),
        (["--kind", "images", "--min-side", 9], "--min-side belongs to --kind crops, got images"),
        (["--kind", "images", "--crops", 2], "--crops belongs to --kind crops or textures, got im"),
        (["--kind", "noise"], "'noise' is not one of 'crops', 'textures', 'images'"),
        (["--kind", "images", "--count", 0], "0 is not in the range x>=1"),
    ):
        assert message in made(images, store, *more, status=2).stderr
    assert not store.exists()


def test_masks_that_are_missing_are_refused_before_anything_is_made(images, masks, tmp_path):
    store, listed = tmp_path / "store", tmp_path / "list"
    listed.write_text("class0/000.jpg\nclass0/other.jpg\n")
    said = crops(images, masks, store, "--list", listed, status=3).stderr
    assert "must have every image, got none of 1, such as class0/other.jpg" in said
    (masks / "shard-00000.h5").unlink()
    said = crops(images, masks, store, status=3).stderr
    assert f"--masks {masks} must be whole, got missing shards 0" in said
    assert not store.exists()


def test_verify_finds_damage_and_changed_images_and_repairs(images, masks, tmp_path):
    store = tmp_path / "store"
    crops(images, masks, store, "--shard-size", 2, "--count", 3)
    expected = content(store)
    invoke(main, "verify", store, "--images", images, "--workers", 1)
    shard = store / "shard-00001.h5"
    flipped = bytearray(shard.read_bytes())
    flipped[-20] ^= 1
    shard.write_bytes(flipped)
    said = invoke(main, "verify", store, "--repair", "--workers", 1, status=1).stderr
    assert "run the dilo-prep command of this store again" in said
    crops(images, masks, store, "--shard-size", 2, "--count", 3)
    assert {name: there for name, there in content(store).items() if "/" not in name} == expected
    for path in images.rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + b"\0")
    said = invoke(main, "verify", store, "--images", images, "--workers", 1, status=1).stdout
    assert said.count("the image changed since") == 3  # those that were not read do not count
    assert (
        "got other images by the same names, 3 of 3: nothing was moved; give that folder"
        in crops(images, masks, store, "--shard-size", 2, "--count", 3, status=3).stderr
    )


def test_a_preview_is_of_backgrounds_or_of_their_windows(images, masks, tmp_path):
    crops(images, masks, tmp_path / "store")
    for more in ([], ["--images", images]):
        picture = tmp_path / "sheet.png"
        invoke(main, "preview", tmp_path / "store", "--out", picture, *more)
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()
    said = invoke(main, "preview", masks, "--out", tmp_path / "sheet.png", status=2).stderr
    assert "a preview of masks needs the folder of their images: give --images DIR" in said


def test_what_is_of_masks_alone_refuses_backgrounds(images, masks, tmp_path):
    crops(images, masks, tmp_path / "store")
    for words in (
        ("export", tmp_path / "store", "--out", tmp_path / "png"),
        ("backgrounds", "--images", images, "--masks", tmp_path / "store", "--out", tmp_path / "s"),
    ):
        assert (
            "must be a store of masks, got kind 'backgrounds'"
            in invoke(main, *words, status=3).stderr
        )
    asked = ("masks", "--images", images, "--out", tmp_path / "store", "--size", 24)
    said = invoke(main, *asked, status=3).stderr
    assert "plan.json says kind 'backgrounds', method 'crops'; asked for kind 'masks'" in said
