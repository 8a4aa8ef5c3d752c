"""The order of training: the same whoever reads it, from wherever it begins, on any ranks."""

import importlib
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.runs import photographs_and_masks, small_recipe
from torch.utils.data import Dataset

from dilo.pipeline.errors import DiloError
from dilo.train.data.dataset import ViewDataset, collate
from dilo.train.data.images import find_image_set
from dilo.train.data.loader import (
    BatchSampler,
    make_loader,
    prefetch_factor,
    prefetch_to_device,
    require_handles,
    sample_bytes,
)
from dilo.train.recipes import load_recipe
from dilo.train.runtime import distributed

RECIPE = small_recipe("paste.probability=0.7")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


def batches(source, start, workers, recipe=RECIPE):
    stream = BatchSampler(source.indices, recipe, start)
    return list(make_loader(ViewDataset(source, recipe), stream, workers=workers, pin=False))


def flat(batch):
    return [batch.images, batch.masks, *batch.parameters, batch.unreadable]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes:UserWarning")
def test_batches_are_the_same_with_any_number_of_workers(made, workers):
    source = find_image_set(*made)
    for alone, together in zip(batches(source, 0, 0), batches(source, 0, workers), strict=True):
        assert all(map(torch.equal, flat(alone), flat(together)))


def test_a_later_start_gives_the_rest_of_the_same_stream(made):
    source = find_image_set(*made)
    whole = batches(source, 0, 0)
    assert len(whole) == 6  # 13 images: three batches of four an epoch, one image left over
    for start in range(6):
        rest = batches(source, start, 0)
        assert len(rest) == 6 - start
        for one, other in zip(whole[start:], rest, strict=True):
            assert all(map(torch.equal, flat(one), flat(other)))


def test_an_epoch_visits_no_image_twice_and_orders_differ(made):
    source = find_image_set(*made)
    keys = [key for batch in BatchSampler(source.indices, RECIPE, 0) for key in batch]
    epochs = [[i for e, i in keys if e == epoch] for epoch in (0, 1)]
    assert [len(set(epoch)) for epoch in epochs] == [12, 12]
    assert epochs[0] != epochs[1]


def test_fewer_images_than_a_batch_are_refused(made):
    with pytest.raises(DiloError, match=r"optimizer.batch = 4 images, got 3"):
        BatchSampler(np.arange(3), RECIPE, 0)


@pytest.mark.parametrize(("count", "parts"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_ranks_and_parts_share_out_the_very_batches_of_one(monkeypatch, count, parts):
    whole = list(BatchSampler(np.arange(13), RECIPE, 2))
    monkeypatch.setattr(distributed, "world_size", lambda: count)
    shares = []
    for rank in range(count):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(list(BatchSampler(np.arange(13), RECIPE, 2, parts)))
        assert len(shares[-1]) == len(BatchSampler(np.arange(13), RECIPE, 2, parts)) == 4 * parts
    for step, batch in enumerate(whole):
        dealt = [shares[r][step * parts + part] for part in range(parts) for r in range(count)]
        assert [key for share in dealt for key in share] == batch


def test_ranks_that_do_not_divide_a_batch_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(DiloError, match="a multiple of 3 ranks times --accumulate 1, got 4"):
        BatchSampler(np.arange(13), RECIPE, 0)


@pytest.mark.parametrize("workers", [1, 2, 8, 16])
@pytest.mark.parametrize("name", ["moco-v2", "simclr", "naive", "supervised", "moco-v2-small"])
def test_what_is_loaded_ahead_fits_or_is_a_batch_a_worker(name, workers):
    recipe = load_recipe(name, [])
    size = recipe.optimizer.batch * sample_bytes(recipe.views.size, views=2)
    factor = prefetch_factor(workers, size)
    assert 1 <= factor <= 4
    assert factor == 1 or workers * factor * size <= 2e9
    assert factor == 4 or workers * (factor + 1) * size > 2e9


def test_the_bytes_of_a_sample_are_those_of_its_views_and_masks(made):
    views = ViewDataset(find_image_set(*made), small_recipe("paste.probability=1"))
    batch = collate([views[(0, i)] for i in range(4)])
    size = batch.images.nbytes + batch.masks.nbytes
    share = len(batch.masks) / len(batch.images)
    assert size == 4 * sample_bytes(16, views=2, masked=share)


class Unmended(Dataset):
    """Has nothing but an error."""

    def __getitem__(self, key):
        raise DiloError("mend it")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes:UserWarning")
def test_an_error_keeps_its_words_and_leaves_no_worker_that_would_be_waited_for(workers):
    before = set(multiprocessing.active_children())
    stream = make_loader(Unmended(), [[(0, 0)]] * 4, workers=workers, pin=False)
    with pytest.raises(DiloError, match=r"^mend it$") as caught:
        list(prefetch_to_device(stream, torch.device("cpu")))
    assert set(multiprocessing.active_children()) <= before, caught.traceback


HELD = """
import sys, torch
from dilo.train.data.loader import in_order, make_loader
class Positions(torch.utils.data.Dataset):
    def __getitem__(self, position):
        return position
if __name__ == "__main__":
    reading = make_loader(Positions(), in_order(range(9), 2), workers=1, pin=False, collate_fn=list)
    held = iter(reading)
    print(next(held))
    sys.exit(3)
"""


def test_a_program_that_ends_with_an_error_does_not_wait_for_the_workers_of_a_loader(tmp_path):
    (tmp_path / "held.py").write_text(HELD)
    words = [sys.executable, "-W", "ignore", str(tmp_path / "held.py")]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (3, "[0, 1]\n"), ended.stderr


@pytest.mark.parametrize("package", ["train", "eval"])
def test_there_is_one_maker_of_loaders(package):
    root = Path(importlib.import_module(f"dilo.{package}").__file__).parent
    makers = [
        path.name for path in sorted(root.rglob("*.py")) if "DataLoader(" in path.read_text("utf-8")
    ]
    assert makers == []  # but for a class of loader.py that is made of it


@pytest.mark.parametrize(
    ("soft", "hard", "workers", "left"),
    [
        pytest.param(1024, 4096, 16, 1024, id="enough"),
        pytest.param(256, 4096, 2, 272, id="raised"),
        pytest.param(256, resource.RLIM_INFINITY, 2, 272, id="raised without a bound"),
        pytest.param(64, 64, 0, 64, id="no workers"),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_workers_need(
    monkeypatch, soft, hard, workers, left
):
    limits = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda which: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda which, new: limits.__setitem__(0, new[0]))
    require_handles(workers)
    assert limits[0] == left


def test_where_it_cannot_be_raised_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 64))
    message = "2 workers need 272 open files, got a limit of 64: raise it with ulimit -n 4096"
    with pytest.raises(DiloError, match=message):
        make_loader(Unmended(), [[(0, 0)]], workers=2, pin=False)
