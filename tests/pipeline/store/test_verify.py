"""Checking a store: every flipped byte is found, and every changed image."""

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess

import h5py
import pytest
from support.cli import invoke
from support.photographs import photograph_folder
from support.programs import content
from support.shards import PATHS, plan, rows
from support.stores import create_mask_store

from dilo.pipeline import cli
from dilo.pipeline.cli import main
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import AccessError, ImageError, StoreError
from dilo.pipeline.images import folder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.shardfile import write_shard
from dilo.pipeline.store.status import status
from dilo.pipeline.store.verify import (
    Changes,
    Verifier,
    compare_images,
    find_faults,
    move_damaged,
    require_right_folder,
    require_unchanged,
    undo_advice,
)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard-00000.h5"
    write_shard(path, rows(), plan().fingerprint())
    return path


def test_a_sound_shard_has_no_faults(shard):
    assert find_faults(shard.parent, plan(), 0, PATHS) == []


def test_every_flipped_byte_of_a_shard_is_found(shard):
    sound = shard.read_bytes()
    for position in range(0, len(sound), 7):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        shard.write_bytes(flipped)
        assert find_faults(shard.parent, plan(), 0, PATHS), position


def change(name, value):
    def damage(path):
        with h5py.File(path, "r+") as file:
            file[name][...] = value(file[name][...])

    return damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def drop(path):
    with h5py.File(path, "r+") as file:
        del file["shape"]


def flip_after_the_data(path):
    path.write_bytes(path.read_bytes() + b"!")


def rename_images(path):
    other = dataclasses.replace(rows(), path=PATHS[::-1])
    write_shard(path, other, plan().fingerprint())


CHANGED = "its bytes are not those that were written"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(cut, "readable HDF5|cannot be read", id="truncated"),
        pytest.param(flip_after_the_data, CHANGED, id="longer"),
        pytest.param(drop, CHANGED, id="dataset-gone"),
        pytest.param(change("masks", lambda m: 255 - m), CHANGED, id="masks"),
        pytest.param(change("shape", lambda s: s + 1), CHANGED, id="shape"),
        pytest.param(change("status", lambda s: 1 - s), CHANGED, id="status"),
        pytest.param(change("path", lambda p: p[::-1]), CHANGED, id="paths"),
        pytest.param(rename_images, "paths are not those of images.txt", id="other-images"),
        pytest.param(lambda p: p.unlink(), "is missing", id="gone"),
        pytest.param(lambda p: p.write_bytes(b""), "readable HDF5", id="empty"),
    ],
)
def test_every_damage_is_found(shard, damage, message):
    damage(shard)
    (fault,) = find_faults(shard.parent, plan(), 0, PATHS)
    assert re.search(message, fault), fault
    assert shard.name in fault


def test_masks_of_another_size_are_a_fault(tmp_path):
    write_shard(tmp_path / "shard-00000.h5", rows(), plan(16).fingerprint())
    assert "(3, 16, 16)" in find_faults(tmp_path, plan(16), 0, PATHS)[0]


@pytest.fixture
def made(tmp_path):
    images = photograph_folder(tmp_path / "images", 6)
    (images / "class0" / "bad.jpg").write_bytes(b"no image")
    (images / "class0" / "gone.jpg").symlink_to("nowhere")
    store = tmp_path / "store"
    plan = create_mask_store(images, store, recipe=MaskRecipe.create("rbd"), size=16, shard_size=4)
    for number in range(plan.shards):
        ShardBuilder(FolderSource(images), store, MethodSource()).build(number)
    return images, store, plan


def later(path, seconds=100):
    os.utime(path, (os.stat(path).st_atime, os.stat(path).st_mtime + seconds))


def rewrite(path):
    path.write_bytes(path.read_bytes() + b"\0")


def rewrite_in_the_same_size(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    later(path)


def replace_by_nothing(path):
    path.unlink()


@pytest.mark.parametrize("change", [rewrite, rewrite_in_the_same_size])
def test_an_image_that_changed_since_is_named(made, change):
    images, store, _ = made
    require_unchanged(FolderSource(images), store, [0, 1])
    change(images / "class0" / "000.jpg")
    assert compare_images(FolderSource(images), store, 0) == Changes(4, ["class0/000.jpg"])
    with pytest.raises(StoreError, match=r"1 images must be .* 'class0/000.jpg': dilo-prep verify"):
        require_unchanged(FolderSource(images), store, [0, 1])
    found = Verifier(store, FolderSource(images))(0)
    assert found.faults == ["shard-00000.h5: class0/000.jpg: the image changed since"]


def test_an_image_that_is_not_there_is_no_fault_of_its_shard_and_moves_nothing(made):
    images, store, plan = made
    (images / "class0" / "000.jpg").unlink()
    check = Verifier(store, FolderSource(images))(0)
    assert (check.faults, check.changes) == ([], Changes(4, absent=["class0/000.jpg"]))
    assert move_damaged(store, plan, [check]) == []
    with pytest.raises(StoreError, match=r"1 of \d images are missing, such as 'class0"):
        require_unchanged(FolderSource(images), store, [0, 1])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_an_image_that_cannot_be_read_now_is_no_fault_of_its_shard(made, monkeypatch, number):
    images, store, plan = made
    later(images / "class0" / "000.jpg")

    def refusing(path):
        raise ImageError(os.strerror(number), number)

    monkeypatch.setattr(folder, "read_file", refusing)
    if number == errno.EMFILE:  # of a machine that is short of something, nothing is said
        with pytest.raises(AccessError, match=r"000.jpg: Too many open files: .*ulimit -n"):
            Verifier(store, FolderSource(images))(0)
        return
    check = Verifier(store, FolderSource(images))(0)
    assert check.faults == []
    assert check.changes.unread["class0/000.jpg"] == os.strerror(number)
    assert move_damaged(store, plan, [check]) == []
    with pytest.raises(
        StoreError, match=f"must be readable, got 'class0/000.jpg': {os.strerror(number)}"
    ):
        require_unchanged(FolderSource(images), store, [0, 1])
    with pytest.raises(StoreError, match=r"nothing was moved: .* must be readable"):
        require_right_folder(FolderSource(images), check.changes)


def other_names(images):
    for path in sorted(images.rglob("*.jpg")):
        path.rename(path.with_name(f"other-{path.name}"))


def nothing(images):
    shutil.rmtree(images)
    images.mkdir()


def the_folder_below(images):
    shutil.move(images / "class0", images.parent / "moved")
    shutil.rmtree(images)
    shutil.move(images.parent / "moved", images)


@pytest.mark.parametrize("wrong", [other_names, nothing, the_folder_below])
@pytest.mark.parametrize("more", [(), ("--repair",)])
def test_the_wrong_folder_is_refused_in_one_sentence_before_anything_is_read(made, wrong, more):
    images, store, _ = made
    before = content(store)
    wrong(images)
    said = invoke(main, "verify", store, "--images", images, *more, status=3).stderr
    assert said.count("\n") == 1
    assert "must hold the images of the store, but class0/" in said
    assert "are missing; nothing was changed: " in said
    assert content(store) == before
    with pytest.raises(StoreError, match="must hold the images of the store"):
        require_unchanged(FolderSource(images), store, [0, 1])


def test_a_folder_a_level_off_is_named_with_the_right_one(made):
    images, store, _ = made
    for off in (images.parent, images / "class0"):
        said = invoke(main, "verify", store, "--images", off, status=3).stderr
        assert said.endswith(f"give {images}\n")


def test_other_images_by_the_same_names_do_not_cost_the_shards(made):
    images, store, plan = made
    for path in images.rglob("*.jpg"):
        if not path.is_symlink():
            rewrite(path)
    checks = [Verifier(store, FolderSource(images))(shard) for shard in range(plan.shards)]
    assert sum(len(check.faults) for check in checks) == 7
    with pytest.raises(StoreError, match="got other images by the same names, 7 of 7: nothing was"):
        move_damaged(store, plan, checks)
    assert not (store / "damaged").exists()
    with pytest.raises(StoreError, match="give that folder, or make a fresh store of this one"):
        require_unchanged(FolderSource(images), store, [0, 1])


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_nothing_is_moved_out_of_the_store_by_a_link(made, tmp_path, kind):
    _, store, plan = made
    (tmp_path / "elsewhere").mkdir()
    targets = {"link": tmp_path / "elsewhere", "dangling link": tmp_path / "nowhere"}
    if kind in targets:
        (store / "damaged").symlink_to(targets[kind])
    else:
        (store / "damaged").touch()
    rewrite(store / "shard-00001.h5")
    with pytest.raises(StoreError, match="damaged must be a folder, got a link or a file: nothing"):
        move_damaged(store, plan, [Verifier(store)(1)])
    assert (store / "shard-00001.h5").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_was_moved_comes_back_by_the_words_that_say_how(made):
    _, store, plan = made
    before = content(store)
    sound = (store / "shard-00001.h5").read_bytes()
    for _ in range(2):
        (store / "shard-00001.h5").write_bytes(sound[:-9] + b"?" + sound[-8:])
        moved = move_damaged(store, plan, [Verifier(store)(1)])
    assert moved[0].name == "shard-00001.h5.1"
    words = undo_advice(store, moved).removeprefix("to undo: ")
    subprocess.run(["sh", "-c", words], check=True)
    assert sorted(content(store)) == sorted([*before, "damaged/shard-00001.h5"])


def test_a_store_that_is_not_whole_is_one_line_and_its_faults_are_twenty_at_most(made):
    _, store, plan = made
    (store / "shard-00001.h5").unlink()
    assert Verifier(store)(1).faults == []
    result = invoke(main, "verify", store, "--workers", 1, status=1)
    assert result.stdout.splitlines() == [
        "2 shards of 8 images: 0 faults",
        "1 of 2 shards missing: 1",
    ]
    said = json.loads(invoke(main, "verify", store, "--workers", 1, "--json", status=1).stdout)
    assert (said["faults"], said["missing_shards"]) == ([], [1])
    faults = [f"fault {i}" for i in range(30)]
    assert cli.stores._fault_lines(plan, faults, [], Changes(9, absent=["a"]))[19:] == [
        "fault 19",
        "and 11 more: --json lists all",
        "2 shards of 8 images: 30 faults, 1 image missing or unreadable",
    ]


def test_an_image_that_could_not_be_read_and_now_can_has_changed(made):
    images, store, _ = made
    (images / "class0" / "nowhere").write_bytes(b"something")
    found = compare_images(FolderSource(images), store, 1) + compare_images(
        FolderSource(images), store, 0
    )
    assert (found.changed, found.absent, found.unread) == (["class0/gone.jpg"], [], {})


def test_a_copy_of_the_images_is_no_change(made, tmp_path):
    images, store, _ = made
    copied = shutil.copytree(images, tmp_path / "copy", symlinks=True)
    for path in copied.rglob("*.jpg"):
        if not path.is_symlink():
            later(path)
    require_unchanged(FolderSource(copied), store, [0, 1])


def test_a_damaged_shard_is_read_or_refused_in_a_sentence_by_everything(made):
    images, store, _ = made
    shard = store / "shard-00000.h5"
    sound = shard.read_bytes()
    readers = (
        lambda: status(store),
        lambda: MaskStore(store).batch(range(4)),
        lambda: MaskStore(store).columns("status", "shape"),
        lambda: compare_images(FolderSource(images), store, 0),
        lambda: ShardBuilder(FolderSource(images), store, MethodSource()).build(0),
    )
    said = []
    for position in range(3, len(sound), 97):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        shard.write_bytes(flipped)
        for read in readers:
            try:
                read()
            except StoreError as error:
                said.append(str(error))
    assert said
    assert all("--repair moves it aside" in words for words in said)


def test_a_shard_of_before_the_checksums_is_refused_in_a_sentence(made):
    images, store, _ = made
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        del file["bytes"]
    with pytest.raises(StoreError, match=r"shard-00000.h5 must be a whole shard, got: .*--repair"):
        require_unchanged(FolderSource(images), store, [0, 1])


def test_shards_at_fault_are_moved_aside_and_made_anew(made):
    images, store, plan = made
    sound = (store / "shard-00001.h5").read_bytes()
    for place in ("shard-00001.h5", "shard-00001.h5.1"):
        (store / "shard-00001.h5").write_bytes(sound[:-9] + b"?" + sound[-8:])
        checks = [Verifier(store)(shard) for shard in range(plan.shards)]
        assert move_damaged(store, plan, [check for check in checks if check.faults]) == [
            store / "damaged" / place
        ]
        ShardBuilder(FolderSource(images), store, MethodSource()).build(1)
        assert (store / "shard-00001.h5").read_bytes() == sound
    assert not Verifier(store)(1).faults


def test_a_changed_plan_does_not_cost_the_shards(made):
    _, store, _ = made
    text = (store / "plan.json").read_text()
    (store / "plan.json").write_text(text.replace('"size": 16', '"size": 17'))
    plan = Plan.load(store)
    checks = [Verifier(store)(shard) for shard in range(plan.shards)]
    with pytest.raises(StoreError, match="got another one, or a changed one: nothing was moved"):
        move_damaged(store, plan, checks)
    assert (store / "shard-00000.h5").exists()
