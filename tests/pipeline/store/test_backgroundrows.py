"""The shard of backgrounds: as the format says, also without any, and its faults are found."""

import h5py
import pytest
from support.backgrounds import plan, rows
from support.shards import PATHS

from dilo.pipeline.store.backgroundrows import NOT_NEEDED, BackgroundRows
from dilo.pipeline.store.shardfile import read_summary, write_shard
from dilo.pipeline.store.verify import find_faults


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
    assert types["file_crc32"] == "<u4"
    assert shard.read_bytes()[8] == 0  # the superblock's version


def test_a_shard_without_backgrounds_is_a_shard(tmp_path):
    blank = BackgroundRows.empty(PATHS)
    blank.skipped.update(dict.fromkeys(range(3), NOT_NEEDED))
    path = tmp_path / "shard-00000.h5"
    write_shard(path, blank, plan().fingerprint())
    with h5py.File(path) as file:
        assert [file[name].shape for name in ("jpeg", "source", "box")] == [(0,), (0,), (0, 4)]
        assert file["offsets"][:].tolist() == [0]
        assert file["bytes"][:].tolist() == [-1, -1, -1]
    assert find_faults(tmp_path, plan(), 0, PATHS) == []
    tally = read_summary(tmp_path, plan(), 0)
    assert (tally.images, tally.backgrounds, tally.states[NOT_NEEDED]) == (3, 0, 3)


def test_every_flipped_byte_of_a_shard_is_found(shard):
    sound = shard.read_bytes()
    for position in range(0, len(sound), 17):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        shard.write_bytes(flipped)
        assert find_faults(shard.parent, plan(), 0, PATHS), position


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jpeg", lambda jpeg: 255 - jpeg),
        ("box", lambda box: box + 40),
        ("offsets", lambda offsets: offsets[::-1]),
        ("source", lambda source: source + 3),
        ("status", lambda status: status * 0),
    ],
)
def test_every_damage_is_found(shard, name, value):
    with h5py.File(shard, "r+") as file:
        file[name][...] = value(file[name][...])
    assert find_faults(shard.parent, plan(), 0, PATHS) == [
        "shard-00000.h5: its bytes are not those that were written"
    ]
