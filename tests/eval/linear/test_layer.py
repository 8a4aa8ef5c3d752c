"""The layer against torch's own modules, and what its state holds."""

import pytest
import torch
from support.gpu import FakeGpu
from torch import nn

from dilo.eval.linear.layer import LinearClassifier
from dilo.eval.linear.protocols import PROTOCOLS, Protocol
from dilo.pipeline.errors import CheckpointError

CPU = torch.device("cpu")


def batches(count=4):
    numbers = torch.Generator().manual_seed(1)
    return [
        (torch.randn(6, 5, generator=numbers), torch.randint(3, (6,), generator=numbers))
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", ["moco", "simclr"])
def test_steps_are_those_of_torchs_linear_layer_and_sgd(name):
    protocol = PROTOCOLS[name]
    ours, theirs = LinearClassifier(5, 3, protocol, CPU, seed=0), nn.Linear(5, 3)
    theirs.weight.data.copy_(ours.weight)
    theirs.bias.data.zero_()
    optimizer = torch.optim.SGD(
        theirs.parameters(),
        lr=1.0,
        momentum=0.9,
        nesterov=name == "simclr",
        weight_decay=1e-6 if name == "simclr" else 0,
    )
    total = 0.0
    for number, (rows, labels) in enumerate(batches()):
        optimizer.param_groups[0]["lr"] = 1 / (1 + number)
        # The second row is of no image: the mean is over the others.
        told = labels.clone()
        told[1] = -1
        keep = [0, 2, 3, 4, 5]
        loss = nn.functional.cross_entropy(theirs(rows[keep]), labels[keep])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += 5 * loss.item()
        ours.step(rows, told, 1 / (1 + number))
    torch.testing.assert_close(ours.weight, theirs.weight.detach())
    torch.testing.assert_close(ours.bias, theirs.bias.detach())
    assert (ours.seen, ours.lr) == (20, 0.25)
    assert ours.mean_loss() == pytest.approx(total / 20, rel=1e-6)


def test_weights_begin_normal_or_at_zero_and_are_the_seeds():
    moco = LinearClassifier(500, 100, PROTOCOLS["moco"], CPU, seed=3)
    assert moco.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert moco.weight.mean().item() == pytest.approx(0, abs=2e-4)
    assert not moco.bias.any()
    assert moco.weight.equal(LinearClassifier(500, 100, PROTOCOLS["moco"], CPU, seed=3).weight)
    assert not moco.weight.equal(LinearClassifier(500, 100, PROTOCOLS["moco"], CPU, seed=4).weight)
    assert not LinearClassifier(5, 3, PROTOCOLS["simclr"], CPU, seed=3).weight.any()


def test_a_batch_of_no_image_changes_nothing():
    layer = LinearClassifier(5, 3, PROTOCOLS["moco"], CPU, seed=0)
    before = layer.weight.clone()
    layer.step(torch.randn(4, 5), torch.full((4,), -1), 30.0)
    assert layer.weight.equal(before)
    assert layer.seen == 0


def test_a_state_taken_up_goes_on_bit_for_bit():
    whole, half, rest = (LinearClassifier(5, 3, PROTOCOLS["moco"], CPU, seed=s) for s in (0, 0, 9))
    for rows, labels in batches():
        whole.step(rows, labels, 0.5)
    for rows, labels in batches()[:2]:
        half.step(rows, labels, 0.5)
    rest.restore(half.state())
    for rows, labels in batches()[2:]:
        rest.step(rows, labels, 0.5)
    assert rest.weight.equal(whole.weight)
    assert rest.bias.equal(whole.bias)
    assert rest.mean_loss() == whole.mean_loss()


def test_a_loss_that_is_no_number_is_refused_with_the_rate():
    layer = LinearClassifier(5, 3, Protocol(name="moco"), CPU, seed=0)
    layer.step(torch.full((2, 5), float("nan")), torch.tensor([0, 1]), 30.0)
    with pytest.raises(CheckpointError, match="got nan with a learning rate of 30: give a smaller"):
        layer.mean_loss()


def test_a_step_on_a_gpu_waits_for_nothing():
    with FakeGpu() as gpu:
        layer = LinearClassifier(8, 3, PROTOCOLS["moco"], gpu.device, 0)
        features, labels = gpu.put(torch.zeros(4, 8)), torch.tensor([0, 2, 1, -1])
        layer.step(features, labels, 0.1)
        gpu.reset()
        layer.step(features, labels, 0.1)
    assert gpu.waits == []
    assert gpu.copies == [4 * 8]
