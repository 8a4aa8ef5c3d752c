"""Odd and hostile HDF5: nothing outside the file is read, waited for, or believed."""

import errno
import os
import subprocess
import sys
import tracemalloc
import zlib

import h5py
import numpy as np
import pytest
from support.cli import invoke
from support.shards import PATHS, plan, rows

from dilo.pipeline.cli import main
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import AccessError, StoreError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.masks.export import export_shard, prepare_export
from dilo.pipeline.store import MaskStore, reader, shardfile
from dilo.pipeline.store.create import create_store
from dilo.pipeline.store.layouts import layout_of
from dilo.pipeline.store.shardfile import open_shard, write_shard
from dilo.pipeline.store.verify import Verifier, find_faults

SECRET = bytes(range(64)) * 3


@pytest.fixture
def store(tmp_path):
    """Write a store of one shard, beside a file that is nobody's business."""
    folder = tmp_path / "store"
    create_store(folder, plan(), Names(PATHS))
    write_shard(folder / "shard-00000.h5", rows(), plan().fingerprint())
    (tmp_path / "secret").write_bytes(SECRET)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["masks"] = np.frombuffer(SECRET, np.uint8).reshape(3, 8, 8)
    return folder


def external_storage(file, folder):
    file.create_dataset("masks", (3, 8, 8), "u1", external=[(str(folder / "secret"), 0, 192)])


def external_pipe(file, folder):
    os.mkfifo(folder / "pipe")
    file.create_dataset("masks", (3, 8, 8), "u1", external=[(str(folder / "pipe"), 0, 192)])


def external_link(file, folder):
    file["masks"] = h5py.ExternalLink(str(folder / "other.h5"), "masks")


def link_to_a_pipe(file, folder):
    os.mkfifo(folder / "pipe")
    file["masks"] = h5py.ExternalLink(str(folder / "pipe"), "masks")


def soft_link(file, folder):
    file["masks"] = h5py.SoftLink("/shape")


def virtual(file, folder):
    layout = h5py.VirtualLayout((3, 8, 8), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "masks", (3, 8, 8))
    file.create_virtual_dataset("masks", layout)


def another_dataset(file, folder):
    file["masks"] = rows().masks
    file["more"] = np.zeros(3)


def group(file, folder):
    file.create_group("masks")["masks"] = rows().masks


def text_in_the_heap(file, folder):
    file["masks"] = rows().masks
    del file["path"]
    file["path"] = ["a", "b", "c"]


def attribute_in_the_heap(file, folder):
    file["masks"] = rows().masks
    file.attrs["plan"] = plan().fingerprint()


def other_attribute(file, folder):
    file["masks"] = rows().masks
    file.attrs["more"] = 1


def unwritten(file, folder):
    shape = (3, 2**20, 2**20)
    file.create_dataset("masks", shape, "u1", chunks=(1, 2**10, 2**10), compression="gzip")


def other_type(file, folder):
    file["masks"] = rows().masks.astype("f4")


def other_shape(file, folder):
    file["masks"] = rows().masks[:, :1, :1]


def another_program_s_filter(file, folder):
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_chunk((1, 8, 8))
    create.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((3, 8, 8))
    h5py.h5d.create(file.id, b"masks", h5py.h5t.STD_U8LE, space, create)


ODD = [
    *(external_storage, external_pipe, external_link, link_to_a_pipe, soft_link, virtual),
    *(another_dataset, group, text_in_the_heap, attribute_in_the_heap, other_attribute),
    *(unwritten, other_type, other_shape, another_program_s_filter),
]


@pytest.mark.parametrize("odd", ODD)
def test_a_shard_that_leads_elsewhere_or_lies_is_refused_by_every_reader(store, odd):
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        del file["masks"]
        odd(file, store.parent)
    reading = [
        lambda: MaskStore(store)[0],
        lambda: MaskStore(store).column("status"),
        lambda: open_shard(store / "shard-00000.h5", plan().fingerprint(), layout_of(plan(), 0)),
    ]
    for read in reading:
        with pytest.raises(StoreError, match=r"shard-00000.h5 must be a whole shard, got: "):
            read()
    (fault,) = find_faults(store, plan(), 0, PATHS)
    assert "shard-00000.h5 must be a whole shard, got: " in fault
    said = invoke(main, "status", store, status=3).stderr
    assert "shard-00000.h5 must be a whole shard, got: " in said


def test_a_mask_that_inflates_without_end_is_not_inflated(store):
    bomb = zlib.compress(bytes(2**26))
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        file["masks"].id.write_direct_chunk((0, 0, 0), bomb)
    tracemalloc.start()
    with pytest.raises(StoreError, match="a mask must be 64 bytes, got another number"):
        MaskStore(store)[0]
    assert "not those that were written" in find_faults(store, plan(), 0, PATHS)[0]
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_pipe_for_a_shard_is_not_waited_for(store):
    (store / "shard-00000.h5").unlink()
    os.mkfifo(store / "shard-00000.h5")
    with pytest.raises(StoreError, match="must be a regular file, got a pipe"):
        MaskStore(store)[0]
    (fault,) = find_faults(store, plan(), 0, PATHS)
    assert "must be a regular file, got a pipe" in fault


def test_a_shape_that_no_image_has_is_not_exported(store):
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        file["shape"][0] = (2**31 - 1, 2**31 - 1)
    out = store.parent / "out"
    full = prepare_export(store, out, "image")
    with pytest.raises(StoreError, match=r"a/1.jpg must have a height and a width of 1 to"):
        export_shard(store, out, 0, size="image", ambiguous=full)
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        file["shape"][0] = (-5, 3)
    with pytest.raises(StoreError, match="got -5 x 3"):
        export_shard(store, out, 0, size="image", ambiguous=full)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE]
)
def test_a_shard_that_the_system_does_not_give_is_neither_damaged_nor_moved(
    store, monkeypatch, number
):
    def refusing(*_, **__):
        # As HDF5 says it: the number stands in the middle of its words.
        raise OSError(f"Unable to open file (name = 'x', errno = {number}, error message = '')")

    monkeypatch.setattr(shardfile.h5py, "File", refusing)
    with pytest.raises(AccessError, match=os.strerror(number)) as refusal:
        MaskStore(store)[0]
    assert refusal.value.errno == number
    said = invoke(main, "status", store, status=3).stderr
    assert f"shard-00000.h5: {os.strerror(number)}: " in said
    assert "repair" not in said
    with pytest.raises(AccessError):
        Verifier(store)(0)
    with pytest.raises(AccessError):  # nor is it a reason to compute anew
        ShardBuilder(FolderSource(store), store, MethodSource()).build(0)


def test_where_too_many_files_are_open_the_shards_that_are_held_are_closed(store, monkeypatch):
    held = reader.OpenShards(store, plan(), plan().fingerprint(), lambda file: file)
    for number in (1, 2):
        with held.reading(0):
            held._open[-number] = held._open.pop(0)
    left, really = [2], open_shard

    def refusing(*words):
        if left[0]:
            left[0] -= 1
            raise AccessError("too many", errno.EMFILE)
        return really(*words)

    monkeypatch.setattr(reader, "open_shard", refusing)
    with held.reading(0):
        assert list(held._open) == [0]
    left[0] = 2
    held._open.clear()
    with pytest.raises(AccessError), held.reading(0):
        pass


MANY = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.verify import Verifier, find_faults
store = MaskStore(sys.argv[1])
spare = [open("/dev/null") for _ in range(14)]
assert len({store[i].tobytes() for i in range(len(store))}) == len(store)
"""


def test_a_process_that_may_open_few_files_reads_a_store_of_many_shards(tmp_path):
    from support.stores import even_store

    folder = even_store(tmp_path / "many", {f"{i}.png": i for i in range(60)})
    subprocess.run([sys.executable, "-c", MANY, str(folder)], check=True)
