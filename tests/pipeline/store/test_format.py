"""docs/format.md: its readers read, its check finds a flipped byte, its tables are the files."""

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.backgrounds import built, crops_by, masks_of
from support.cli import invoke
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.cli import main
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store import MaskStore

PAGE = (Path(__file__).parents[3] / "docs" / "format.md").read_text()
#: A line of a table of datasets: name, type.
ROW = r"^\| `(\w+)` \| \([NML].*?\) \| `?(\w+)`? \|"
TYPES = {
    "H5T_STD_U8LE": "<u1",
    "H5T_STD_I32LE": "<i4",
    "H5T_STD_I64LE": "<i8",
    "H5T_STD_U32LE": "<u4",
    "H5T_IEEE_F32LE": "<f4",
}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Make a store by the page's name for it; some names are longer in bytes than in letters."""
    images, folder = photograph_folder(tmp_path / "images", 5), tmp_path / "masks"
    (images / "class1" / "001.jpg").rename(images / "class1" / "größer.jpg")
    (images / "class1" / "broken.jpg").write_bytes(b"no")
    plan = create_mask_store(images, folder, recipe=MaskRecipe.create("rbd"), size=32, shard_size=5)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), folder, MethodSource()).build(shard)
    monkeypatch.chdir(tmp_path)
    return MaskStore(folder)


def block(language, heading):
    """Take the last example in a language of a section."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.S)[-1]


def run(code):
    names = {}
    exec(compile(code, "format.md", "exec"), names)
    return names


def test_a_reader_with_h5py_alone_reads_what_the_store_reads(store):
    code = block("python", "Python")
    assert "dilo" not in code
    found = run(code)
    assert np.array_equal(found["mask"], store[3])
    assert found["name"].decode() == store.names[3]
    assert not found["failed"]
    bad = store.position("class1/broken.jpg")
    assert run(code.replace('Path("masks"), 3', f'Path("masks"), {bad}'))["failed"]
    assert found["real_name"](rb"a\\x0a\x0a\xff\\") == b"a\\x0a\n\xff\\"


def test_the_examples_with_dilo_read(store):
    section = PAGE.split("\n## Python\n")[1]
    found = run(re.search(r"```python\n(.*?)```", section, flags=re.S)[1])
    assert np.array_equal(found["batch"], np.stack([store[3], store[0], store[3]]))
    assert found["path"] == store.names[5]


@pytest.mark.skipif(not shutil.which("h5cc"), reason="needs gcc and HDF5's headers")
def test_the_reader_in_c_reads_the_same(store, tmp_path):
    (tmp_path / "mask.c").write_text(block("c", "C"))
    subprocess.run(["h5cc", "-Wall", "-Werror", "mask.c", "-o", "mask"], check=True)
    for row in range(5):
        ran = subprocess.run(
            ["./mask", "masks/shard-00000.h5", str(row)], capture_output=True, check=True
        )
        assert ran.stdout == b"P5\n32 32\n255\n" + store[row].tobytes()
        assert ran.stderr.decode() == f"{store.names[row]}\n"
    for words in (["masks/nothing.h5", "0"], ["masks/shard-00000.h5", "5"]):
        assert subprocess.run(["./mask", *words], capture_output=True, check=False).returncode == 3


def test_the_tables_name_every_file_field_dataset_and_type(store):
    assert {path.name for path in store.folder.iterdir()} == {
        "plan.json",
        "images.txt",
        "shard-00000.h5",
        "shard-00001.h5",
    }
    fields = re.findall(r"^\| `(\w+)` \|", PAGE.split("\n## plan.json\n")[1].split("##")[0], re.M)
    assert sorted(fields) == sorted(["format", *vars(store.plan)])
    rows = dict(re.findall(ROW, PAGE.split("\n## Backgrounds\n")[0], flags=re.M))
    of_the_root = PAGE.split("\n| attribute |")[1].split("\n\n")[0]
    attributes = re.findall(r"^\| `(\w+)` \|", of_the_root, flags=re.M)
    with h5py.File(store.folder / "shard-00000.h5") as file:
        assert set(file) == set(rows)
        assert set(file.attrs) == set(attributes)
        for name, dataset in file.items():
            if rows[name] == "string":
                kind = h5py.check_string_dtype(dataset.dtype)
                assert kind.encoding == "utf-8"
                assert kind.length == max(1, *(len(word) for word in dataset[:]))
                assert dataset.id.get_type().get_strpad() == h5py.h5t.STR_NULLPAD
            else:
                assert dataset.dtype == np.dtype(TYPES[rows[name]])
            assert (dataset.chunks is None) == (name != "masks")
        assert file["masks"].chunks == (1, 32, 32)
        assert (file["masks"].compression, file["masks"].compression_opts) == ("gzip", 1)
    assert (store.folder / "shard-00000.h5").read_bytes()[8] == 0  # the superblock's version


def test_the_check_passes_a_sound_shard_and_finds_a_flipped_byte_anywhere(store):
    path = store.folder / "shard-00000.h5"
    run(block("python", "Damage"))
    sound = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file["masks"].id.get_chunk_info_by_coord((2, 0, 0))
        places = [file["bytes"].id.get_offset() + 8, chunk.byte_offset + chunk.size // 2]
    for place in [*places, len(sound) - 1]:
        flipped = bytearray(sound)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises((AssertionError, OSError)):  # zlib finds some before the check does
            run(block("python", "Damage"))


@pytest.fixture
def crops(tmp_path, monkeypatch):
    images = photograph_folder(tmp_path / "images", 5)
    masks = masks_of(images, tmp_path / "masks")
    built(images, tmp_path / "crops", crops_by(masks, crops=2), masks)
    monkeypatch.chdir(tmp_path)
    return BackgroundStore("crops")


def test_the_reader_of_backgrounds_reads_what_the_store_reads(crops):
    code = block("python", "Backgrounds")
    assert "dilo" not in code
    found = run(code)
    assert np.abs(np.asarray(found["picture"], int) - crops[2]).max() <= 1
    assert found["path"].decode() == crops.source(2)
    box = tuple(found[name] for name in ("top", "left", "height", "width"))
    assert box == crops.box(2)


def test_the_table_names_every_dataset_of_backgrounds(crops):
    masks, _, backgrounds = PAGE.split("\n## Packed images\n")[0].partition("\n## Backgrounds\n")
    own = dict(re.findall(ROW, backgrounds, flags=re.M))
    rows = dict(re.findall(ROW, masks, flags=re.M)) | own
    with h5py.File("crops/shard-00000.h5") as file:
        assert set(file) == set(rows) - {"masks", "coverage"}
        assert all(file[name].dtype == np.dtype(TYPES[own[name]]) for name in own)
        assert all(dataset.chunks is None for dataset in file.values())


def test_the_table_and_the_reader_of_packed_images_are_right(tmp_path, monkeypatch):
    images = photograph_folder(tmp_path / "images", 5)
    packed = ("--out", tmp_path / "packed", "--backend", "threading", "--workers", 1)
    invoke(main, "pack", "--images", images, *packed)
    monkeypatch.chdir(tmp_path)
    assert run(block("python", "Packed images"))["jpeg"] == (
        (images / FolderSource(images).find()[2]).read_bytes()
    )
    masks = PAGE.split("\n## Backgrounds\n")[0]
    own = dict(re.findall(ROW, PAGE.split("\n## Packed images\n")[1], flags=re.M))
    with h5py.File("packed/shard-00000.h5") as file:
        assert set(file) == {*dict(re.findall(ROW, masks, flags=re.M)), *own} - {
            "masks",
            "coverage",
        }
        assert all(
            kind == "string" or file[name].dtype == np.dtype(TYPES[kind])
            for name, kind in own.items()
        )
        assert all(dataset.chunks is None for dataset in file.values())


def test_the_reader_on_the_page_of_backgrounds_reads(crops):
    page = (Path(__file__).parents[3] / "docs" / "prep-backgrounds.md").read_text()
    found = run(re.search(r"```python\n(.*?)```", page, flags=re.S)[1])
    assert np.array_equal(found["background"], crops[2])
    assert all(map(np.array_equal, found["several"], (crops[2], crops[0], crops[2])))
