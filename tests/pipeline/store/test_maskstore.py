"""The reader: masks by position and path, one or many, in any process and thread."""

import copy
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store import MaskStore, reader
from dilo.pipeline.store.shardfile import open_shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    images = photograph_folder(tmp_path_factory.mktemp("images"), 7)
    (images / "class0" / "broken.jpg").write_bytes(b"no")
    folder = tmp_path_factory.mktemp("store")
    plan = create_mask_store(images, folder, recipe=MaskRecipe.create("rbd"), size=32, shard_size=3)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), folder, MethodSource()).build(shard)
    return folder


@pytest.fixture
def masks(made):
    """Read every mask without the reader."""
    found = []
    for path in sorted(made.glob("*.h5")):
        with h5py.File(path) as file:
            found.append(file["masks"][:])
    return np.concatenate(found)


@pytest.fixture
def opened(monkeypatch):
    """Count the shards that are opened."""
    paths = []
    monkeypatch.setattr(
        reader,
        "open_shard",
        lambda path, *more: paths.append(path.name) or open_shard(path, *more),
    )
    return paths


def copied(made, folder):
    for file in made.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def read(store, index, queue):
    queue.put(store[index])


def test_a_mask_is_found_by_position_and_by_path(made, masks):
    store = MaskStore(made)
    assert len(store) == 8
    for index, name in enumerate(store.names):
        for key in (index, name, index - 8, np.int32(index), np.uint64(index)):
            assert store[key].shape == (32, 32)
            assert np.array_equal(store[key], masks[index])
        assert name in store
        assert store.position(name) == index
    assert "class0/nothing.jpg" not in store
    assert 0 not in store


def test_a_mask_may_be_written_to(made, masks):
    store = MaskStore(made)
    for mask in (store[1], store.batch([1])[0], next(iter(store))):
        mask += 1
    assert np.array_equal(store[1], masks[1])


def test_a_store_is_gone_through_in_order(made, masks, opened):
    store = MaskStore(made)
    assert np.array_equal(np.stack(list(store)), masks)
    assert opened == ["shard-00000.h5", "shard-00001.h5", "shard-00002.h5"]
    paths, found = zip(*store.items(), strict=True)
    assert list(paths) == list(store.names)
    assert np.array_equal(np.stack(found), masks)


@pytest.mark.parametrize(
    "keys",
    [
        [3, 1, 7, 0, 3, -1],
        range(2, 7),
        range(7, 0, -3),
        slice(None, -2),
        slice(None, None, -1),
        np.array([7, 0, 7], np.int32),
        np.array([], np.int64),
        [np.array(4), np.int64(2)],
        (),
    ],
    ids=str,
)
def test_a_batch_is_the_masks_in_the_order_asked(made, masks, keys):
    positions = keys if isinstance(keys, slice) else np.array([int(key) for key in keys], int)
    batch = MaskStore(made).batch(keys)
    assert batch.dtype == np.uint8
    assert batch.flags.c_contiguous
    assert np.array_equal(batch, masks[positions])


@pytest.mark.parametrize("part", [slice(2, 7), slice(None), slice(-3, None), slice(5, 0, -2)])
def test_a_slice_is_a_batch(made, masks, part):
    assert np.array_equal(MaskStore(made)[part], masks[part])


def test_a_batch_takes_paths_and_positions_mixed(made, masks):
    store = MaskStore(made)
    batch = store.batch([store.names[6], 2, store.names[0], np.str_(store.names[6])])
    assert np.array_equal(batch, masks[[6, 2, 0, 6]])
    assert np.array_equal(store.batch(np.array(list(store.names))), masks)


def test_a_batch_opens_each_shard_once_and_reads_it_from_front_to_end(made, opened, monkeypatch):
    asked = []
    inner = MaskStore._read_masks
    monkeypatch.setattr(reader, "MAX_OPEN", 1)
    monkeypatch.setattr(
        MaskStore,
        "_read_masks",
        lambda self, shard, rows: asked.append((shard, rows)) or inner(self, shard, rows),
    )
    MaskStore(made).batch([7, 0, 4, 2, 7, 3, 0])
    assert asked == [(0, [0, 2]), (1, [0, 1]), (2, [1])]
    assert len(opened) == 3


def test_what_is_not_there_is_said(made):
    store = MaskStore(made)
    for key in (8, -9, np.int64(8)):
        with pytest.raises(IndexError, match=f"has positions 0 to 7, got position {key}"):
            store[key]
    with pytest.raises(IndexError, match="got position 8"):
        store.batch([0, 8])
    for call in (store.position, store.__getitem__, lambda path: store.batch([path])):
        with pytest.raises(KeyError, match=f"{made} must have a mask of 'class0/nothing.jpg'"):
            call("class0/nothing.jpg")


@pytest.mark.parametrize("key", [1.0, None, True, np.array([1, 2])])
def test_a_key_that_is_no_position_is_refused(made, key):
    with pytest.raises(TypeError, match=r"must be a position or a path, got .*: batch\(\) takes"):
        MaskStore(made)[key]


def test_one_path_or_a_choice_by_truth_is_no_batch(made):
    store = MaskStore(made)
    with pytest.raises(TypeError, match=r"keys must be several, got the one path 'class0/0"):
        store.batch(store.names[0])
    with pytest.raises(TypeError, match="position or a path, got False"):
        store.batch(store.failed())


def test_columns_are_in_the_order_of_the_list(made):
    store = MaskStore(made)
    failed = [i for i, name in enumerate(store.names) if name.endswith("broken.jpg")]
    assert np.flatnonzero(store.failed()).tolist() == failed
    means = [store[i].mean() / 255 for i in range(8)]
    assert store.column("coverage") == pytest.approx(means)
    shape, status = store.columns("shape", "status")
    assert np.array_equal(shape, store.column("shape"))
    assert np.flatnonzero(status).tolist() == failed


def test_nothing_is_open_before_the_first_read_nor_after_pickling(made):
    store = MaskStore(made)
    assert store._handles is None
    store[0]
    assert len(store._handles) == 1
    for again in (pickle.loads(pickle.dumps(store)), copy.copy(store), copy.deepcopy(store)):
        assert again._handles is None
        assert np.array_equal(again[0], store[0])
        assert again._names is None
        assert again.names == store.names


def test_a_pickled_store_is_small_and_found_from_any_folder(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made.parent)
    store = MaskStore(made.name)
    content = pickle.dumps(store)
    assert store.names[0].encode() not in content
    assert len(content) < 4000
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(pickle.loads(content)[3], store[3])


def test_a_list_that_changed_meanwhile_is_refused_by_the_process_that_reads_it(made, tmp_path):
    content = pickle.dumps(MaskStore(copied(made, tmp_path)))
    (tmp_path / "images.txt").write_text("other.jpg\n" * 8)
    store = pickle.loads(content)
    store[0]
    with pytest.raises(StoreError, match=r"must be the list that plan.json was made for"):
        store["other.jpg"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_reads_by_handles_of_its_own(made, method):
    store = MaskStore(made)
    store[0]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read, args=(store, 5, queue))
    child.start()
    assert np.array_equal(queue.get(timeout=60), store[5])
    child.join()


# Torch is imported by these tests alone, so that the children of those above start quickly.
def test_tensors_are_keys_and_a_batch_is_a_tensor(made, masks):
    import torch

    store = MaskStore(made)
    assert np.array_equal(store[torch.tensor(-2)], masks[6])
    for keys in (torch.tensor([5, -8, 2]), list(torch.tensor([5, 0, 2]))):
        batch = torch.from_numpy(store.batch(keys))
        assert torch.equal(batch, torch.tensor(masks[[5, 0, 2]]))
    with pytest.raises(TypeError, match="a position or a path"):
        store[torch.tensor(1.0)]


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1), ("forkserver", 1)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_torchs_loader_takes_a_store_as_it_is(made, masks, method, workers):
    import torch
    from torch.utils.data import DataLoader

    store = MaskStore(made)
    store[0]
    loader = DataLoader(store, batch_size=3, num_workers=workers, multiprocessing_context=method)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert torch.equal(torch.cat(batches), torch.from_numpy(masks))


def test_torchs_loader_asks_for_a_batch_at_once_in_its_own_order(made, masks, opened):
    import torch
    from torch.utils.data import DataLoader, Subset

    loader = DataLoader(Subset(MaskStore(made), [7, 2, 0, 7, 5, 1]), batch_size=6)
    (batch,) = loader
    assert torch.equal(batch, torch.from_numpy(masks[[7, 2, 0, 7, 5, 1]]))
    assert len(opened) == 3


def test_a_child_of_a_fork_reads_though_a_thread_held_the_lock(made):
    store = MaskStore(made)
    store[0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with store._handles._lock:
        child = context.Process(target=read, args=(store, 5, queue))
        child.start()
        mask = queue.get(timeout=60)
    child.join()
    assert np.array_equal(mask, store[5])
    assert store._handles.process == os.getpid()


def test_threads_read_right_while_handles_come_and_go(made, masks, monkeypatch):
    monkeypatch.setattr(reader, "MAX_OPEN", 1)
    store = MaskStore(made)
    positions = np.random.default_rng(0).integers(0, 8, (8, 150))

    def same(row):
        return all(np.array_equal(store[i], masks[i]) for i in row) and np.array_equal(
            store.batch(row), masks[row]
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(same, positions))
    assert len(store._handles) == 1


def test_few_files_are_open_at_once(made, masks, monkeypatch):
    monkeypatch.setattr(reader, "MAX_OPEN", 2)
    store = MaskStore(made)
    assert np.array_equal(np.stack(list(store)), masks)
    assert len(store._handles) == 2
    assert all(np.array_equal(store[i], masks[i]) for i in range(8))


@pytest.mark.parametrize(
    "layout",
    [
        {"compression": "lzf", "chunks": (1, 32, 32)},
        {"compression": "gzip", "chunks": (2, 16, 32)},
        {"compression": "gzip", "chunks": (1, 32, 32), "shuffle": True},
        {},
    ],
    ids=str,
)
def test_a_shard_that_another_program_packed_anew_reads_the_same(made, masks, tmp_path, layout):
    store = MaskStore(copied(made, tmp_path))
    with h5py.File(tmp_path / "shard-00001.h5", "r+") as file:
        content = file["masks"][:]
        del file["masks"]
        file.create_dataset("masks", data=content, **layout)
    assert np.array_equal(store.batch(range(8)), masks)


def test_a_mask_that_was_damaged_is_said_with_its_shard(made, tmp_path):
    store = MaskStore(copied(made, tmp_path))
    path = tmp_path / "shard-00001.h5"
    with h5py.File(path) as file:
        place = file["masks"].id.get_chunk_info_by_coord((1, 0, 0))
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 255
    path.write_bytes(content)
    assert np.array_equal(store[3], MaskStore(made)[3])
    with pytest.raises(
        StoreError, match=r"shard-00001.h5 must be a whole shard, got: .*--repair moves"
    ):
        store[4]


def test_a_missing_shard_says_what_to_do(made, tmp_path):
    store = MaskStore(copied(made, tmp_path))
    (tmp_path / "shard-00001.h5").unlink()
    assert store[0].shape == (32, 32)
    with pytest.raises(StoreError, match=r"shard-00001.h5 is missing: run the same"):
        store[4]


def test_anyone_can_read_a_shard(made):
    store = MaskStore(made)
    with open_shard(made / "shard-00000.h5", store.plan.fingerprint()) as file:
        assert np.array_equal(file["masks"][1], store[1])
