"""A disk that is full, read-only, or gone: exit 3 with the path, and what is done is kept."""

import re
import shutil
import subprocess

import pytest
from support.disks import disk, remount
from support.programs import command, content, finished, masks, run


def test_a_full_disk_is_named_and_filled_no_further_when_there_is_room_again(
    photographs, undisturbed, tmp_path
):
    with disk(tmp_path / "small", "size=100k") as small:
        store = small / "store"
        for _ in range(2):
            said = run(*masks(photographs, store), status=3)
            assert re.search(
                rf"Error: {store}/shard-\d+.h5: No space left on device: make room, or name a "
                r"folder on another disk; finished work is kept",
                said,
            )
            there = content(store)
            assert 2 < len(there) < len(undisturbed)
            assert all(undisturbed[name] == there[name] for name in there)
        finished("status", store)
        remount(small, "size=4m")
        finished(*masks(photographs, store))
        assert content(store) == undisturbed


def test_a_disk_too_full_for_the_plan_is_named(photographs, tmp_path):
    with disk(tmp_path / "small", "size=4k") as small:
        said = run(*masks(photographs, small / "store"), status=3)
        assert f"Error: {small}/store" in said
        assert "No space left on device" in said


def test_a_disk_that_becomes_read_only_is_named_and_what_is_there_still_serves(
    photographs, undisturbed, tmp_path
):
    with disk(tmp_path / "disk", "size=4m") as folder:
        store = folder / "store"
        finished(*masks(photographs, store))
        (store / "shard-00003.h5").unlink()
        remount(folder, "ro")
        said = run(*masks(photographs, store), status=3)
        assert f"{store}/shard-00003.h5: Read-only file system: its disk is read-only" in said
        assert "; finished work is kept" in said
        finished("status", store)
        finished("verify", store, status=1)  # for a shard is missing
        remount(folder, "rw")
        finished(*masks(photographs, store))
        assert content(store) == undisturbed
        remount(folder, "ro")
        run(*masks(photographs, store))  # nothing to do needs no writing
        finished("verify", store)


def test_a_new_store_on_a_read_only_disk_is_refused_by_name(photographs, tmp_path):
    with disk(tmp_path / "disk", "ro,size=1m") as folder:
        said = run(*masks(photographs, folder / "store"), status=3)
        assert f"Error: {folder}/store: Read-only file system" in said


def test_a_disk_of_images_that_is_gone_does_not_become_a_store_of_failures(
    photographs, undisturbed, tmp_path
):
    store = tmp_path / "store"
    with disk(tmp_path / "images", "size=4m") as images:
        shutil.copytree(photographs, images, dirs_exist_ok=True)
        finished(*masks(images, store), "--plan-only")
    task = ("--num-tasks", 1, "--task-id", 0)
    said = run(*masks(tmp_path / "images", store), *task, status=3)
    assert "is the disk mounted? Finished shards are kept" in said
    assert not list(store.glob("shard-*"))
    finished(*masks(photographs, store))
    assert content(store) == undisturbed


@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_shared_memory_that_cannot_be_written_is_named_with_what_does_without(
    photographs, tmp_path, options
):
    # In a mount namespace of its own, which ends with the program.
    mount = f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$@"'
    words = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run((*words, "true"), capture_output=True, check=False).returncode:
        pytest.skip("may not mount over /dev/shm here")
    make = command(*masks(photographs, tmp_path / "store"))
    refused = subprocess.run((*words, *make), capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "Error: /dev/shm: " in refused.stderr
    assert "give --backend threading, or mount a tmpfs there" in refused.stderr
    assert "Traceback" not in refused.stderr
    threads = subprocess.run((*words, *make, "--backend", "threading"), check=False)
    assert threads.returncode == 0
