"""The reader of backgrounds: by position, one or many, in any process and thread."""

import itertools
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import simplejpeg
from support.backgrounds import built, crops_by, masks_of
from support.photographs import photograph_folder

from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.errors import StoreError
from dilo.pipeline.store import MaskStore, reader
from dilo.pipeline.store.shardfile import open_shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    images = photograph_folder(tmp_path_factory.mktemp("images"), 10)
    recipe = BackgroundRecipe(kind="textures", crops=2, count=15)
    return built(images, tmp_path_factory.mktemp("store") / "textures", recipe, size=32)


@pytest.fixture(scope="module")
def pictures(made):
    """Read every background without the reader."""
    found = []
    for path in sorted(made.glob("*.h5")):
        with h5py.File(path, locking=False) as file:
            jpeg, offsets = file["jpeg"][:].tobytes(), file["offsets"][:]
        pairs = itertools.pairwise(offsets)
        found += [simplejpeg.decode_jpeg(jpeg[start:end], "RGB") for start, end in pairs]
    return found


def same(found, expected):
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_backgrounds_are_read_by_position_in_order(made, pictures):
    store = BackgroundStore(made)
    assert (len(store), store.kind, store.folder) == (15, "textures", made)
    assert store.fingerprint == store.plan.fingerprint()
    assert same(list(store), pictures)
    assert np.array_equal(store[-15], pictures[0])
    assert np.array_equal(store[np.int32(7)], pictures[7])


def test_sources_and_boxes_are_those_of_the_file(made):
    store, expected = BackgroundStore(made), []
    for shard, path in enumerate(sorted(made.glob("*.h5"))):
        with h5py.File(path, locking=False) as file:
            paths, boxes = file["path"].asstr()[:], file["box"][:].tolist()
            rows = file["source"][:].tolist()
            expected += [(paths[row], tuple(box)) for row, box in zip(rows, boxes, strict=True)]
        assert shard < store.plan.shards
    assert [(store.source(i), store.box(i)) for i in range(15)] == expected


def test_a_batch_opens_each_shard_once_and_reads_in_the_order_asked(made, pictures, monkeypatch):
    store, opened = BackgroundStore(made), []
    monkeypatch.setattr(
        reader,
        "open_shard",
        lambda path, *more: opened.append(path.name) or open_shard(path, *more),
    )
    monkeypatch.setattr(reader, "MAX_OPEN", 1)
    keys = [14, 0, 7, 3, 14, -15, 8]
    assert same(store.batch(keys), [pictures[key] for key in keys])
    assert opened == ["shard-00000.h5", "shard-00001.h5", "shard-00002.h5"]
    assert store.batch([]) == []


@pytest.mark.parametrize("index", [15, -16])
def test_what_is_not_there_is_said(made, index):
    store = BackgroundStore(made)
    for ask in (store.__getitem__, store.source, store.box, lambda i: store.batch([0, i])):
        with pytest.raises(IndexError, match=f"has positions 0 to 14, got position {index}"):
            ask(index)


def test_a_pickled_store_is_small_and_opens_nothing_until_it_is_read(made, pictures):
    store = BackgroundStore(made)
    assert store._handles is None
    store[0]
    content = pickle.dumps(store)
    assert len(content) < 4000
    again = pickle.loads(content)
    assert again._handles is None
    assert np.array_equal(again[9], pictures[9])
    assert again.source(9) == store.source(9)


def read(store, index, queue):
    queue.put(store[index])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_reads_by_handles_of_its_own(made, pictures, method):
    store = BackgroundStore(made)
    store[0]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read, args=(store, 5, queue))
    child.start()
    assert np.array_equal(queue.get(timeout=60), pictures[5])
    child.join()


def test_threads_read_right_while_handles_come_and_go(made, pictures, monkeypatch):
    monkeypatch.setattr(reader, "MAX_OPEN", 1)
    store = BackgroundStore(made)
    rows = np.random.default_rng(0).integers(0, 15, (8, 60))
    with ThreadPoolExecutor(8) as threads:
        batches = threads.map(store.batch, rows)
        assert all(
            same(batch, [pictures[i] for i in row])
            for batch, row in zip(batches, rows, strict=True)
        )


def test_a_store_that_is_not_whole_or_holds_nothing_is_refused(made, tmp_path):
    copied = shutil.copytree(made, tmp_path / "copy")
    (copied / "shard-00001.h5").unlink()
    with pytest.raises(StoreError, match=r"must be whole, got missing shards 1: run the same dilo"):
        BackgroundStore(copied)
    images = photograph_folder(tmp_path / "images", 3)
    masks = masks_of(images, tmp_path / "masks")
    empty = built(images, tmp_path / "empty", crops_by(masks, min_side=999), masks)
    with pytest.raises(StoreError, match=r"must hold backgrounds, got none: dilo-prep status"):
        BackgroundStore(empty)
    with pytest.raises(StoreError, match="must be a store of backgrounds, got kind 'masks'"):
        BackgroundStore(masks.folder)
    with pytest.raises(StoreError, match="must be a store of masks, got kind 'backgrounds'"):
        MaskStore(made)


def test_a_damaged_jpeg_is_said_with_its_shard(made, tmp_path):
    copied = shutil.copytree(made, tmp_path / "copy")
    with h5py.File(copied / "shard-00001.h5", "r+") as file:
        file["jpeg"][:40] = 0
    store = BackgroundStore(copied)
    with pytest.raises(StoreError, match=r"shard-00001.h5 must be a whole shard, got: .*--repair"):
        store.batch(range(15))
