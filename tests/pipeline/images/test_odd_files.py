"""The odd and the broken, from the folder to the reader: a row for each, and what it says."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from support.cli import invoke
from support.odd_files import BROKEN, SOUND, odd_folder

from dilo.pipeline.cli import main
from dilo.pipeline.images import decode
from dilo.pipeline.images.names import escaped
from dilo.pipeline.store import MaskStore

#: In this process: another would take longer to start than to do the work.
HERE = ("--backend", "threading", "--jobs", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make the folder and its store, and keep what the command said."""
    root = tmp_path_factory.mktemp("odd")
    images = odd_folder(root / "images")
    arguments = ["--images", images, "--out", root / "store", "--size", 32, *HERE]
    return images, root / "store", invoke(main, "masks", *arguments, "--json")


def test_every_odd_or_broken_file_is_a_row_and_nothing_else_is(made):
    names = MaskStore(made[1]).names
    assert list(names) == sorted(map(os.fsdecode, SOUND | BROKEN))


@pytest.mark.parametrize("name", SOUND)
def test_an_odd_file_has_a_mask(made, name):
    images, folder, _ = made
    store = MaskStore(folder)
    row = store.position(os.fsdecode(name))
    assert store.column("status")[row] == 0
    assert store.column("shape")[row].tolist() == list(SOUND[name])
    assert decode(images / os.fsdecode(name)).shape == (*SOUND[name], 3)
    if min(SOUND[name]) > 2:  # what is a line or a pixel has no background to differ from
        assert store[os.fsdecode(name)].any()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_row_with_its_reason(made, name):
    store = MaskStore(made[1])
    row = store.position(os.fsdecode(name))
    assert store.column("status")[row] == 1
    assert not store[row].any()
    record = json.loads(invoke(main, "status", made[1], "--json").stdout)
    assert BROKEN[name] in record["failed"][escaped(os.fsdecode(name))]


def test_status_names_failures_in_one_line_each(made):
    _, store, _ = made
    words = invoke(main, "status", store).stdout
    total = len(SOUND | BROKEN)
    assert f"{total} of {total} images, {len(BROKEN)} failed" in words
    assert r"  failed: dangling \xff\x0a.jpg: No such file or directory" in words.splitlines()
    record = json.loads(invoke(main, "status", store, "--json").stdout)
    assert set(record["failed"]) == {escaped(os.fsdecode(name)) for name in BROKEN}


def test_verify_finds_no_fault(made):
    _, store, _ = made
    result = invoke(main, "verify", store, "--json")
    assert json.loads(result.stdout)["faults"] == []


def test_preview_shows_them_all(made, tmp_path):
    images, store, _ = made
    sheet = tmp_path / "sheet.png"
    invoke(main, "preview", store, "--images", images, "--out", sheet, "--count", 100)
    assert decode(sheet).shape[0] > 100 * len(SOUND | BROKEN) // 2


def test_a_shard_holds_names_as_images_txt_does(made):
    _, store, _ = made
    listed = (store / "images.txt").read_bytes().decode().removesuffix("\n").split("\n")
    held = []
    for shard in sorted(store.glob("shard-*.h5")):
        with h5py.File(shard) as file:
            held += list(file["path"].asstr()[:])
    assert held == listed


def test_the_list_of_the_store_makes_the_same_store(made, tmp_path):
    images, store, _ = made
    arguments = ["--images", images, "--out", tmp_path / "again", "--size", 32, *HERE]
    invoke(main, "masks", *arguments, "--list", store / "images.txt")
    for file in store.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_real_processes_without_a_locale_come_through_as_well(made, tmp_path):
    images, store, _ = made
    command = [sys.executable, "-m", "dilo.pipeline", "masks", "--images", images]
    command += ["--out", tmp_path / "again", "--size", "32", "--workers", "2"]
    environment = {**os.environ, "LC_ALL": "C"}
    result = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    for file in store.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_what_a_list_names_beside_files_is_a_row_too(made, tmp_path):
    images, _, _ = made
    (tmp_path / "list").write_text("gone.jpg\npipe.jpg\nfolder.jpg\nplain.jpg\nnotes.txt\n")
    arguments = ["--images", images, "--out", tmp_path / "s", "--size", 32, *HERE]
    result = invoke(main, "masks", *arguments, "--list", tmp_path / "list", "--json")
    assert json.loads(result.stdout)["failed"] == {
        "gone.jpg": "No such file or directory",
        "pipe.jpg": "not a regular file but a pipe or a device",
        "folder.jpg": "Is a directory",
        "notes.txt": "not an image",
    }
    assert np.flatnonzero(MaskStore(tmp_path / "s").failed()).tolist() == [0, 1, 2, 4]
