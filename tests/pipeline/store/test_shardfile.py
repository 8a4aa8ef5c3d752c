"""The shard: a file that any HDF5 tool opens, and whose faults are found."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from support.backgrounds import plan as plan_of_backgrounds
from support.backgrounds import rows as background_rows
from support.shards import PATHS, plan, rows

from dilo.pipeline.errors import StoreError
from dilo.pipeline.store.layouts import layout_of, rows_of
from dilo.pipeline.store.shardfile import (
    ShardSummary,
    open_shard,
    read_summary,
    reading_shard,
    write_shard,
)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard-00000.h5"
    write_shard(path, rows(), plan().fingerprint())
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
        assert file["bytes"].dtype == np.int64
        assert file["bytes"][:].tolist() == [1234, 99, 5_000_000_000]
        assert file["file_crc32"].dtype == np.uint32
        assert file["file_crc32"][:].tolist() == [1, 2, 0xFFFFFFFF]
        assert file["coverage"][0] == pytest.approx(rows().masks[0].mean() / 255)


def test_hdf5_of_2010_can_read_it(shard):
    assert shard.read_bytes()[:9] == b"\x89HDF\r\n\x1a\n\x00"  # superblock version 0


def test_equal_rows_are_equal_bytes(shard, tmp_path):
    write_shard(tmp_path / "again.h5", rows(), plan().fingerprint())
    assert (tmp_path / "again.h5").read_bytes() == shard.read_bytes()


def test_the_file_has_the_digest_that_the_format_says(shard):
    with h5py.File(shard) as file:
        digest = file.attrs["sha256"]
    content = shard.read_bytes()
    assert content.count(digest) == 1
    assert hashlib.sha256(content.replace(digest, b"0" * 64)).hexdigest() == digest.decode()


def test_threads_may_write_at_once(tmp_path, shard):
    paths = [tmp_path / f"{number}.h5" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: write_shard(path, rows(), plan().fingerprint()), paths))
    assert {path.read_bytes() for path in paths} == {shard.read_bytes()}


def test_failures_are_read_back(shard):
    assert read_summary(shard.parent, plan(), 0) == ShardSummary(
        {"a/o'brien.jpg": "not an image: häßlich"}, Counter({0: 2, 1: 1}), 0
    )


def test_a_shard_of_another_plan_is_refused(shard):
    with pytest.raises(StoreError, match="another plan"):
        open_shard(shard, "other")
    with pytest.raises(StoreError, match="another plan"):
        read_summary(shard.parent, plan(16), 0)


@pytest.mark.parametrize(
    ("rows", "plan"),
    [(rows(), plan()), (background_rows(), plan_of_backgrounds())],
    ids=["masks", "backgrounds"],
)
def test_the_layout_of_a_shard_is_that_of_its_kind(tmp_path, rows, plan):
    write_shard(tmp_path / "shard-00000.h5", rows, plan.fingerprint())
    assert rows_of(plan) is type(rows)
    with reading_shard(tmp_path, plan, 0) as file:
        assert set(file) == set(layout_of(plan, 0))
