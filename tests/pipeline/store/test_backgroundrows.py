"""The shard of backgrounds: as the format says, also without any, and its faults are found."""

import re
import struct
import zlib

import h5py
import numpy as np
import pytest
from support.backgrounds import plan, rows
from support.shards import PATHS

from dilo.pipeline.store.backgroundrows import NOT_DRAWN, BackgroundRows
from dilo.pipeline.store.shardfile import read_tally, write_shard
from dilo.pipeline.store.verify import faults


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard-00000.h5"
    write_shard(path, rows(), plan().fingerprint())
    return path


def test_the_datasets_are_those_of_the_format(shard):
    first, second = rows().jpegs[0]
    with h5py.File(shard) as file:
        assert file["jpeg"][:].tobytes() == first + second
        assert file["offsets"][:].tolist() == [0, len(first), len(first) + len(second)]
        assert file["source"][:].tolist() == [0, 0]
        assert file["box"][:].tolist() == [[0, 0, 24, 30], [30, 50, 30, 30]]
        assert file["status"][:].tolist() == [0, 1, 2]
        assert file["bytes"][:].tolist() == [1234, 99, -1]
        types = {name: dataset.dtype.str for name, dataset in file.items()}
    assert types["jpeg"] == types["status"] == "|u1"
    assert types["source"] == types["box"] == types["shape"] == "<i4"
    assert types["offsets"] == types["bytes"] == "<i8"
    assert types["crc32"] == types["file_crc32"] == "<u4"
    assert shard.read_bytes()[8] == 0  # the superblock's version


def test_a_row_has_the_checksum_that_the_format_says(shard):
    with h5py.File(shard) as file:
        for row in range(3):
            content = bytes([file["status"][row]])
            for m in np.flatnonzero(file["source"][:] == row):
                start, end = file["offsets"][m : m + 2]
                content += struct.pack("<4i", *file["box"][m]) + file["jpeg"][start:end].tobytes()
            content += struct.pack("<ii", *file["shape"][row])
            content += struct.pack("<qI", file["bytes"][row], file["file_crc32"][row])
            content += file["path"][row] + file["error"][row]
            assert file["crc32"][row] == zlib.crc32(content)


def test_rows_are_read_back_as_they_were_written(shard):
    with h5py.File(shard) as file:
        found = BackgroundRows.read(file)
    made = rows()
    for name in ("path", "error", "boxes", "jpegs", "undone"):
        assert getattr(found, name) == getattr(made, name), name
    for name in ("shape", "bytes", "file_crc32"):
        assert np.array_equal(getattr(found, name), getattr(made, name)), name
    assert faults(shard, PATHS, plan()) == []


def test_a_shard_without_backgrounds_is_a_shard(tmp_path):
    blank = BackgroundRows.blank(PATHS)
    blank.undone.update(dict.fromkeys(range(3), NOT_DRAWN))
    path = tmp_path / "shard-00000.h5"
    write_shard(path, blank, plan().fingerprint())
    with h5py.File(path) as file:
        assert [file[name].shape for name in ("jpeg", "source", "box")] == [(0,), (0,), (0, 4)]
        assert file["offsets"][:].tolist() == [0]
        assert file["bytes"][:].tolist() == [-1, -1, -1]
    assert faults(path, PATHS, plan()) == []
    tally = read_tally(path, plan().fingerprint())
    assert (tally.images, tally.backgrounds, tally.states[NOT_DRAWN]) == (3, 0, 3)


def test_every_flipped_byte_of_a_shard_is_found(shard):
    sound = shard.read_bytes()
    for position in range(0, len(sound), 17):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        shard.write_bytes(flipped)
        assert faults(shard, PATHS, plan()), position


def change(name, value):
    def damage(path):
        with h5py.File(path, "r+") as file:
            file[name][...] = value(file[name][...])

    return damage


def cut(name):
    def damage(path):
        with h5py.File(path, "r+") as file:
            content = file[name][:-1]
            del file[name]
            file[name] = content

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(change("jpeg", lambda j: 255 - j), r"rows changed .* 0 \(a/1", id="jpeg"),
        pytest.param(change("box", lambda b: b + 1), "rows changed", id="box"),
        pytest.param(change("box", lambda b: b + 40), "not within its image", id="box-beyond"),
        pytest.param(change("box", lambda b: b * 0), "not within its image", id="box-of-nothing"),
        pytest.param(change("offsets", lambda o: o[::-1]), "must grow from 0", id="falling"),
        pytest.param(change("offsets", lambda o: o + 1), "must grow from 0", id="beyond"),
        pytest.param(change("source", lambda s: s + 3), "rows of this shard", id="source-beyond"),
        pytest.param(change("source", lambda s: s - 1), "rows of this shard", id="source-below"),
        pytest.param(
            change("source", lambda s: np.array([1, 0])), "must not fall", id="source-falls"
        ),
        pytest.param(change("source", lambda s: s + 2), "backgrounds disagree", id="source-other"),
        pytest.param(change("status", lambda s: s[::-1]), "backgrounds disagree", id="status"),
        pytest.param(change("status", lambda s: s * 0), "errors disagree", id="status-error"),
        pytest.param(change("status", lambda s: s * 2), "errors disagree", id="status-unknown"),
        pytest.param(cut("jpeg"), "to the end of its JPEGs", id="jpeg-short"),
        pytest.param(cut("offsets"), "an offset more", id="offsets-short"),
        pytest.param(cut("box"), "an offset more", id="box-short"),
        pytest.param(cut("error"), "'error' must be text of shape", id="error-short"),
    ],
)
def test_every_damage_is_found(shard, damage, message):
    damage(shard)
    found = faults(shard, PATHS, plan())
    assert any(re.search(message, fault) for fault in found), found


def test_the_window_of_a_texture_may_go_beyond_its_end_but_not_begin_there(tmp_path):
    path, made = tmp_path / "shard-00000.h5", rows()
    for corner, sound in (((59, 79), True), ((60, 0), False), ((-1, 0), False)):
        made.boxes[0] = [(*corner, 24, 30)] * 2
        write_shard(path, made, plan("textures").fingerprint())
        assert (faults(path, PATHS, plan("textures")) == []) == sound
