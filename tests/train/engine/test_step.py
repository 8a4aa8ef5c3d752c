"""One step: parts whose gradients add up, precisions, and what a method is handed."""

import dataclasses

import pytest
import torch
from support.runs import losses, machine, method_recipe, photographs_and_masks, small_recipe
from torch import nn
from torch.testing import assert_close

from dilo.pipeline.errors import DiloError
from dilo.train.data.dataset import SampleSpec, ViewDataset, collate
from dilo.train.data.images import find_image_set
from dilo.train.engine.pretrain import Pretraining, train
from dilo.train.engine.trainer import Optimization
from dilo.train.methods import METHODS
from dilo.train.methods.base import Method, StepOutput

RECIPE = small_recipe("paste.probability=0.5")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


class Probe(Method):
    """A linear network without batch norm, that keeps what it is handed."""

    needs_masks = needs_labels = True

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network, self.seen, self.calls = nn.Linear(3 * 16 * 16, 4), [], []

    def encoders(self):
        return (self.network,)

    def begin_step(self):
        self.calls.append("begin")

    def end_step(self):
        self.calls.append("end")

    def forward(self, batch):
        self.calls.append("forward")
        self.seen.append(batch)
        out = self.network(batch.views[0].flatten(1)).square().mean()
        return StepOutput(out.float(), {"out": out.detach().float()})


def stepped(made, parts, **options):
    """Take one step of a batch of four, in parts."""
    labels, source = torch.arange(13).numpy() % 2, find_image_set(*made)
    views = ViewDataset(source, RECIPE, SampleSpec(2, True, labels))
    samples = [views[(0, index)] for index in range(4)]
    size = 4 // parts
    batches = [collate(samples[i : i + size]) for i in range(0, 4, size)]
    probe, used = Probe(), machine(accumulate=parts, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "probe", lambda recipe, data: probe)
        task = Pretraining(dataclasses.replace(RECIPE, method="probe"), source, used, {}, print)
    update = Optimization(probe, torch.optim.SGD(probe.parameters(), lr=9.0), used)
    inputs = (task.inputs(batch, 7, part) for part, batch in enumerate(batches))
    return probe, update.step(inputs, parts, 0.1)


def test_parts_add_up_to_the_step_of_the_whole(made):
    whole, one = stepped(made, 1)
    parted, two = stepped(made, 2)
    assert_close(one.loss, two.loss)
    assert_close(one.scalars["out"], two.scalars["out"])
    assert_close(whole.network.weight, parted.network.weight)
    assert not torch.equal(whole.network.weight, Probe().network.weight)
    assert parted.calls == ["begin", "forward", "forward", "end"]
    assert [batch.part for batch in parted.seen] == [0, 1]


def test_a_method_is_handed_what_it_wants(made):
    (batch,) = stepped(made, 1)[0].seen
    assert [view.shape for view in batch.views] == [(4, 3, 16, 16)] * 2
    assert batch.views[0].is_contiguous(memory_format=torch.channels_last)
    assert [mask.shape for mask in batch.masks] == [(4, 1, 16, 16)] * 2
    assert 0 < float(batch.masks[0].mean()) < float(batch.masks[0].max()) <= 1
    assert batch.labels.tolist() == [0, 1, 0, 1]
    assert batch.samples.tolist() == [0, 1, 2, 3]
    assert batch.step == 7


def test_half_precision_gives_nearly_the_same_step_and_weights_in_full(made):
    full, half = stepped(made, 1)[0], stepped(made, 1, precision="bf16")[0]
    assert half.network.weight.dtype == torch.float32
    assert_close(half.network.weight, full.network.weight, rtol=0, atol=2e-3)
    assert not torch.equal(half.network.weight, full.network.weight)


def test_a_compiled_network_keeps_its_names_and_its_step(made, monkeypatch):
    compiled = []

    def compile_network(network):
        compiled.append(network)

    monkeypatch.setattr(nn.Module, "compile", compile_network)
    probe, _ = stepped(made, 1, compile=True)
    assert compiled == [probe.network]
    assert list(probe.state_dict()) == ["network.weight", "network.bias"]


def test_a_method_that_needs_masks_is_refused_without(made, tmp_path):
    with pytest.raises(DiloError, match="method naive needs --masks DIR, got none: make it with"):
        train(method_recipe("naive"), find_image_set(made[0], None), tmp_path, machine(), print)


def test_matched_negatives_are_refused_without_masks(made, tmp_path):
    recipe = small_recipe("moco.swap_negatives=true")
    with pytest.raises(DiloError, match=r"moco.swap_negatives needs --masks DIR, got none: make"):
        train(recipe, find_image_set(made[0], None), tmp_path, machine(), print)


def test_a_query_has_the_same_matched_negative_in_parts(made):
    recipe, source = small_recipe("moco.swap_negatives=true"), find_image_set(*made)
    task = Pretraining(recipe, source, machine(), {}, print)
    samples = [task.dataset[(0, index)] for index in range(4)]
    whole = task.inputs(collate(samples), 0, 0).swaps
    parts = [task.inputs(collate(samples[i : i + 2]), 0, 0).swaps for i in (0, 2)]
    assert whole.present.all()
    assert torch.equal(whole.views, torch.cat([part.views for part in parts]))


def test_a_run_in_parts_trains_every_part(made, tmp_path):
    recipe = method_recipe("simclr", "optimizer.epochs=1")
    train(
        recipe, find_image_set(*made), tmp_path, dataclasses.replace(machine(), accumulate=2), print
    )
    assert len(losses(tmp_path)) == 3


def test_groups_that_cannot_be_dealt_are_refused(made, tmp_path):
    used = machine(accumulate=4)
    assert "moco" in METHODS
    with pytest.raises(DiloError, match=r"model.bn_groups must be 1 or a multiple of 1 ranks tim"):
        train(small_recipe(), find_image_set(*made), tmp_path, used, print)
