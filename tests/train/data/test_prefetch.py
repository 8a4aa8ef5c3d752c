"""Batches on their way to the device: the same, in order, none overwritten, nobody left running."""

import contextlib
import multiprocessing
import time

import pytest
import torch
from support.photographs import photograph_folder
from support.runs import small_recipe

from dilo.train.data import loader as module
from dilo.train.data.dataset import CropBatch, ViewDataset
from dilo.train.data.images import find_image_set
from dilo.train.data.loader import COPIED, BatchSampler, make_loader, prefetch_to_device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def numbered(number, *, make=lambda values: values):
    """Make a batch whose every value is its number."""
    values = [make(torch.full((2,), number)) for _ in CropBatch._fields]
    return CropBatch(*values)


def test_a_cpu_gets_the_loaders_own_batches_each_when_it_is_asked_for():
    made = [numbered(0), numbered(1), numbered(2)]
    taken = []

    def loading():
        for batch in made:
            taken.append(batch)
            yield batch

    for count, arrived in enumerate(prefetch_to_device(loading(), CPU), 1):
        assert arrived.batch is made[count - 1]
        assert len(taken) == count
    assert count == 3


def test_waited_is_the_time_in_the_loader_and_not_that_of_the_step():
    def slow_in_the_middle():
        yield numbered(0)
        time.sleep(0.05)
        yield numbered(1)
        yield numbered(2)

    waited = []
    for arrived in prefetch_to_device(slow_in_the_middle(), CPU):
        waited.append(arrived.wait_seconds)
        time.sleep(0.02)
    assert waited[1] >= 0.05
    assert max(waited[0], waited[2]) < 0.02


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
def test_closing_closes_the_loaders_iterator(device, request):
    if device == CUDA:
        request.getfixturevalue("calls")
    ended = []

    def endless():
        try:
            while True:
                yield numbered(0, make=Value if device == CUDA else lambda values: values)
        finally:
            ended.append(True)

    loading = endless()  # referred to, so that nothing but closing ends it
    arriving = prefetch_to_device(loading, device)
    next(arriving)
    assert not ended
    arriving.close()
    assert ended == [True]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes:UserWarning")
def test_closing_ends_the_workers_of_a_data_loader(tmp_path):
    source, recipe = find_image_set(photograph_folder(tmp_path / "images", 5), None), small_recipe()
    before = set(multiprocessing.active_children())
    reading = make_loader(
        ViewDataset(source, recipe), BatchSampler(source.indices, recipe, 0), workers=2, pin=False
    )
    with contextlib.closing(prefetch_to_device(reading, CPU)) as arriving:
        next(arriving)
        assert len(set(multiprocessing.active_children()) - before) == 2
    assert not set(multiprocessing.active_children()) - before


#: What was done with the values and streams below, in order.
CALLS: list[str] = []


class Value:
    """Stands for a tensor of a batch."""

    def __init__(self, values):
        self.number = int(values[0])

    def record_stream(self, stream):
        CALLS.append(f"{self.number} is kept for {stream}")


class Stream:
    """Stands for a stream of a GPU."""

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name

    def wait_stream(self, other):
        CALLS.append(f"{self} waits for {other}")


@pytest.fixture
def calls(monkeypatch):
    """Replace the streams of torch.cuda by ones that write down what they are told."""
    current = [Stream("step")]

    @contextlib.contextmanager
    def within(stream):
        current.append(stream)
        yield
        current.pop()

    def move(value, device):
        CALLS.append(f"{value.number} is copied on {current[-1]}")
        return value

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(module, "move", move)
    CALLS.clear()
    return CALLS


def test_the_next_batch_is_copied_beside_the_step_which_waits_for_its_own_alone(calls):
    for arrived in prefetch_to_device((numbered(i, make=Value) for i in range(3)), CUDA):
        calls.append(f"step {arrived.batch.images.number}")
    several = len(COPIED)
    assert calls == [
        *["0 is copied on side"] * several,
        "step waits for side",
        *["0 is kept for step"] * several,
        *["1 is copied on side"] * several,
        "step 0",
        "step waits for side",
        *["1 is kept for step"] * several,
        *["2 is copied on side"] * several,
        "step 1",
        "step waits for side",
        *["2 is kept for step"] * several,
        "step 2",
    ]


def test_of_a_batch_a_gpu_gets_what_it_is_to_have(calls):
    (arrived,) = prefetch_to_device([numbered(7, make=Value)], CUDA, ("images",))
    assert arrived.batch.images.number == 7
    assert calls == ["7 is copied on side", "step waits for side", "7 is kept for step"]


def test_a_gpu_of_no_batches_gets_none(calls):
    assert list(prefetch_to_device(iter(()), CUDA)) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gets_every_value_though_memory_is_used_again_while_it_computes():
    def large():
        for number in range(12):
            yield numbered(number, make=lambda v: v.to(torch.uint8).repeat(2**23).pin_memory())

    seen, busy = [], torch.randn(4096, 4096, device=CUDA)
    for arrived in prefetch_to_device(large(), CUDA):
        batch = arrived.batch
        assert {getattr(batch, name).device.type for name in COPIED} == {"cuda"}
        assert batch.skipped.device.type == "cpu"
        for _ in range(10):
            busy = (busy @ busy).clamp_(-1, 1)  # the step is behind the copies
        seen.append([bound for name in COPIED for bound in getattr(batch, name).aminmax()])
        del batch, arrived
    assert [[value.item() for value in row] for row in seen] == [[i] * 8 for i in range(12)]
