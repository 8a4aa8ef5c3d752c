"""The stages of training: what each does to a batch, and that no image is read twice."""

import dataclasses

import pytest
import torch
from support.runs import photographs_and_masks, small_recipe
from torch import nn

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names
from dilo.train.data.images import find_image_set
from dilo.train.engine import bench
from dilo.train.engine.bench import Stages
from dilo.train.methods import METHODS
from dilo.train.methods.base import Method, StepOutput, ViewBatch
from dilo.train.runtime.options import RunOptions

RECIPE = small_recipe("paste.probability=0.7")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return find_image_set(*photographs_and_masks(tmp_path_factory.mktemp("data")))


def staged(source, recipe=RECIPE, seconds=0.02, **options):
    machine = RunOptions(device=CPU, **{"workers": 0} | options)
    return Stages(recipe, source, machine, {}, seconds)


class Spy(Method):
    """Keeps what it was given; wants one view, masks and labels."""

    view_count, needs_masks, needs_labels = 1, True, True

    def __init__(self, recipe, data):
        super().__init__()
        self.classes, self.said, self.dtypes = data.classes, [], []
        self.weight = nn.Parameter(torch.zeros(()))

    def encoders(self):
        return ()

    def begin_step(self):
        self.said.append("begin")

    def forward(self, batch):
        self.said.append(batch)
        half = torch.is_autocast_enabled("cpu")
        self.dtypes.append(torch.get_autocast_dtype("cpu") if half else None)
        return StepOutput(self.weight + 0 * sum(view.sum() for view in batch.views), {})

    def end_step(self):
        self.said.append("end")


@pytest.fixture
def spied(monkeypatch):
    """Give the recipe of a method that can be watched."""
    monkeypatch.setitem(METHODS, "spy", Spy)
    return dataclasses.replace(RECIPE, method="spy")


@pytest.mark.parametrize("stage", ["network", "whole"])
def test_a_method_gets_the_views_masks_and_labels_that_it_wants(source, spied, stage):
    staging = staged(source, spied)
    getattr(staging, stage)()
    folders = sorted({name.split("/")[0] for name in source.names})
    first, held, last = staging.method.said[:3]
    assert (first, last, staging.method.classes) == ("begin", "end", len(folders))
    assert [view.shape for view in held.views] == [(4, 3, 16, 16)]
    assert [mask.shape for mask in held.masks] == [(4, 1, 16, 16)]
    assert 0 <= held.masks[0].min() < held.masks[0].max() <= 1
    samples = held.samples.tolist()
    assert len(set(samples)) == 4
    assert held.labels.tolist() == [folders.index(source.names[i].split("/")[0]) for i in samples]


def test_a_step_takes_the_parts_of_a_batch_one_after_the_other(source, spied):
    staging = staged(source, spied, accumulate=2)
    staging.network()
    said = [
        word if isinstance(word, str) else (word.step, word.part) for word in staging.method.said
    ]
    assert said[:8] == ["begin", (0, 0), (0, 1), "end", "begin", (1, 0), (1, 1), "end"]
    assert {len(word.samples) for word in staging.method.said if not isinstance(word, str)} == {2}


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_is_as_long_in_any_precision_and_in_parts(source, spied, precision, dtype, parts):
    staging = staged(source, spied, precision=precision, accumulate=parts)
    views = ViewBatch(views=(torch.zeros(4, 3, 16, 16),), samples=torch.arange(4), step=0)
    for _ in range(parts):
        staging.step(views)
    assert set(staging.method.dtypes) == {dtype}
    # The gradient of the batch is 1, its parts' mean.
    assert staging.method.weight.item() == pytest.approx(-RECIPE.optimizer.lr)


def test_labels_that_are_wanted_and_not_there_are_asked_for(source, spied):
    flat = dataclasses.replace(source, names=Names([f"{i:03d}.jpg" for i in range(13)]))
    with pytest.raises(DiloError, match="must hold a folder for each class, got the image"):
        staged(flat, spied)


def test_fewer_images_than_a_batch_are_refused(source):
    few = dataclasses.replace(source, indices=source.indices[:3])
    with pytest.raises(DiloError, match=r"at least optimizer.batch = 4 images, got 3"):
        staged(few)


def test_what_is_decoded_is_not_what_the_whole_begins_with(source, monkeypatch):
    staging, decoded = staged(source, seconds=0.0), []
    original = staging._task.dataset.read
    monkeypatch.setattr(staging._task.dataset, "read", lambda i: decoded.append(i) or original(i))
    staging.decode()
    first = {index for _, index in staging._first}
    assert decoded
    assert not first & set(decoded[: RECIPE.optimizer.batch])


def test_the_rate_of_a_stage_is_images_over_time(source, monkeypatch):
    staging, now = staged(source, seconds=10.0), [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def step(views):
        now[0] += 0.5

    monkeypatch.setattr(staging, "step", step)
    assert staging.network() == 4 / 0.5
    assert now[0] == 0.5 * (2 + 5 * 4)  # a call to warm up, one to see, then five rounds of four


def test_a_stream_counts_whole_rounds_of_workers_after_the_first(source, monkeypatch):
    staging, now = staged(source, workers=3, seconds=4.0), [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def waits():
        for number in range(100):
            now[0] += 100 if number < 3 else 2 * (number % 3 == 0)
            yield 0.5

    images, waited = staging.stream(waits())
    assert images == pytest.approx(2 * 3 * 4 / 4)
    assert waited == pytest.approx(2 * 3 * 0.5 / 4)
