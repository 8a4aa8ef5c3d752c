"""The reader: masks by position and path, in any process."""

import multiprocessing
import pickle

import numpy as np
import pytest
from support.photographs import photograph_folder

from dilo.pipeline import store as store_module
from dilo.pipeline.build import Builder
from dilo.pipeline.errors import StoreError
from dilo.pipeline.masks import prepare
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.shards import open_shard
from dilo.pipeline.store import MaskStore


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    images = photograph_folder(tmp_path_factory.mktemp("images"), 7)
    (images / "class0" / "broken.jpg").write_bytes(b"no")
    folder = tmp_path_factory.mktemp("store")
    plan = prepare(images, folder, recipe=MaskRecipe.named("rbd"), size=32, shard_size=3)
    for shard in range(plan.shards):
        Builder(images, folder)(shard)
    return folder


def read(store, index, queue):
    queue.put(store[index])


def test_a_mask_is_found_by_position_and_by_path(made):
    store = MaskStore(made)
    assert len(store) == 8
    for index, name in enumerate(store.names):
        assert store[index].shape == (32, 32)
        assert np.array_equal(store[index], store[name])
    assert np.array_equal(store[-1], store[7])


def test_what_is_not_there_is_said(made):
    store = MaskStore(made)
    with pytest.raises(IndexError):
        store[8]
    with pytest.raises(KeyError):
        store["class0/nothing.jpg"]


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
    assert not store._open
    store[0]
    assert store._open
    again = pickle.loads(pickle.dumps(store))
    assert not again._open
    assert np.array_equal(again[0], store[0])


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


def test_few_files_are_open_at_once(made, monkeypatch):
    monkeypatch.setattr(store_module, "MAX_OPEN", 2)
    store = MaskStore(made)
    masks = [store[i] for i in range(8)]
    assert len(store._open) == 2
    assert all(np.array_equal(store[i], masks[i]) for i in range(8))


def test_a_missing_shard_says_what_to_do(made, tmp_path):
    for file in made.iterdir():
        if file.name != "shard-00001.h5":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    store = MaskStore(tmp_path)
    assert store[0].shape == (32, 32)
    with pytest.raises(StoreError, match=r"shard-00001.h5 is missing: run the same"):
        store[4]


def test_anyone_can_read_a_shard(made):
    store = MaskStore(made)
    with open_shard(made / "shard-00000.h5", store.plan.fingerprint()) as file:
        assert np.array_equal(file["masks"][1], store[1])
