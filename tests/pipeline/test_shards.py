"""The shard: a file that any HDF5 tool opens, and whose faults are found."""

import h5py
import numpy as np
import pytest

from dilo.pipeline.errors import StoreError
from dilo.pipeline.shards import MaskRows, faults, open_shard, read_failures, write_shard

PATHS = ["a/1.jpg", "a/o'brien.jpg", "b/é.png"]


def rows(side=8):
    masks = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
    masks[1] = 0
    shape = np.array([[4, 5], [0, 0], [900, 3]], np.int32)
    return MaskRows(masks, shape, PATHS, ["", "not an image: häßlich", ""])


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard-00000.h5"
    write_shard(path, rows(), "plan")
    return path


def test_the_datasets_are_those_of_the_format(shard):
    with h5py.File(shard) as file:
        assert file["masks"].shape == (3, 8, 8)
        assert file["masks"].dtype == np.uint8
        assert file["masks"].chunks == (1, 8, 8)
        assert (file["masks"].compression, file["masks"].compression_opts) == ("gzip", 1)
        assert np.array_equal(file["masks"][:], rows().masks)
        assert file["shape"].dtype == np.int32
        assert file["shape"][2].tolist() == [900, 3]
        assert list(file["path"].asstr()[:]) == PATHS
        assert list(file["error"].asstr()[:]) == rows().error
        assert file["status"][:].tolist() == [0, 1, 0]
        assert file["coverage"].dtype == np.float32
        assert file["coverage"][0] == pytest.approx(rows().masks[0].mean() / 255)


def test_hdf5_of_2010_can_read_it(shard):
    assert shard.read_bytes()[:9] == b"\x89HDF\r\n\x1a\n\x00"  # superblock version 0


def test_equal_rows_are_equal_bytes(shard, tmp_path):
    write_shard(tmp_path / "again.h5", rows(), "plan")
    assert (tmp_path / "again.h5").read_bytes() == shard.read_bytes()


def test_failures_are_read_back(shard):
    assert read_failures(shard, "plan") == (3, {"a/o'brien.jpg": "not an image: häßlich"})


def test_a_sound_shard_has_no_faults(shard):
    assert faults(shard, PATHS, 8, "plan") == []


def change(name, value):
    def damage(path):
        with h5py.File(path, "r+") as file:
            file[name][...] = value(file[name][...])

    return damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip_in_a_chunk(path):
    with h5py.File(path) as file:
        offset = file["masks"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 30] ^= 0xFF
    path.write_bytes(content)


def drop(path):
    with h5py.File(path, "r+") as file:
        del file["shape"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(cut, "readable HDF5|cannot be read", id="truncated"),
        pytest.param(flip_in_a_chunk, "cannot be read|the masks changed", id="bit-rot"),
        pytest.param(drop, "'shape' is missing", id="dataset-gone"),
        pytest.param(change("masks", lambda m: 255 - m), "the masks changed", id="masks"),
        pytest.param(change("status", lambda s: 1 - s), "disagree", id="status"),
        pytest.param(change("path", lambda p: p[::-1]), "images.txt", id="paths"),
        pytest.param(lambda p: p.unlink(), "is missing", id="gone"),
        pytest.param(lambda p: p.write_bytes(b""), "readable HDF5", id="empty"),
    ],
)
def test_every_damage_is_found(shard, damage, message):
    damage(shard)
    found = faults(shard, PATHS, 8, "plan")
    assert len(found) >= 1
    assert any(__import__("re").search(message, fault) for fault in found), found


def test_masks_of_another_size_are_a_fault(shard):
    assert "(3, 16, 16)" in faults(shard, PATHS, 16, "plan")[0]


def test_a_shard_of_another_plan_is_refused(shard):
    with pytest.raises(StoreError, match="another plan"):
        open_shard(shard, "other")
