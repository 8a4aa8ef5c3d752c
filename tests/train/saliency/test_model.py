"""What learns: the sum over outputs, noise by its formulas, a teacher that follows, both kept."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from support.objects import small
from torch import nn

from dilo.train.recipes.saliency_recipe import LossRecipe, NoiseRecipe
from dilo.train.saliency.dataset import SaliencyBatch
from dilo.train.saliency.losses import (
    cross_entropy,
    iou_loss,
    soft_iou,
    ssim_loss,
)
from dilo.train.saliency.model import SaliencyModel, make_model


class Linear(nn.Module):
    """Two outputs, each a weighted sum of the channels."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 1, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        images = self.norm(images)
        return self.first(images), self.second(images)


def lesson(step=0, epochs=0.0, count=3):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 8, 8, generator=generator)
    return SaliencyBatch(images, torch.rand(count, 1, 8, 8, generator=generator), step, epochs)


def learning(noise=None, loss=None, epochs=10):
    return SaliencyModel(Linear(), loss or LossRecipe(), noise or NoiseRecipe(), epochs)


def literal(logits, truth, weight=None, rule=None):
    """Compute the loss of one output, image by image."""
    rule = rule or LossRecipe()
    p = logits.sigmoid()
    return (
        rule.bce * cross_entropy(logits, truth, weight)
        + rule.ssim * ssim_loss(p, truth, weight)
        + rule.iou * iou_loss(p, truth, weight)
    )


def test_the_loss_is_the_mean_over_images_of_the_sum_over_outputs():
    learns, given = learning(), lesson()
    outputs = learns.network(given.images)
    found = learns(given)
    expected = sum(literal(logits, given.truth) for logits in outputs).mean()
    assert_allclose(found.loss.item(), expected.item(), rtol=1e-6)
    first = literal(outputs[0], given.truth).mean().item()
    assert_allclose(found.scalars["l0"], first, rtol=1e-6)
    assert_allclose(sum(found.scalars[k] for k in ("bce", "ssim", "iou")), first, rtol=1e-6)
    p = outputs[0].sigmoid()
    assert_allclose(found.scalars["iou"], iou_loss(p, given.truth).mean().item(), rtol=1e-6)


def test_each_part_counts_by_its_weight_and_one_of_weight_0_not_at_all():
    given, rule = lesson(), LossRecipe(bce=0.5, ssim=0.0, iou=2.0)
    learns = learning(loss=rule)
    outputs = learns.network(given.images)
    expected = sum(literal(logits, given.truth, rule=rule) for logits in outputs).mean()
    found = learns(given)
    assert_allclose(found.loss.item(), expected.item(), rtol=1e-6)
    assert found.scalars["ssim"] == 0


def test_a_pixel_counts_by_how_sure_its_mask_is():
    given = lesson()
    learns = learning(NoiseRecipe(confidence=2.0))
    weight = (2 * given.truth - 1).abs() ** 2
    outputs = learns.network(given.images)
    expected = sum(literal(logits, given.truth, weight) for logits in outputs).mean()
    assert_allclose(learns(given).loss.item(), expected.item(), rtol=1e-6)


@pytest.mark.parametrize(("epochs", "share"), [(3.9, None), (4.0, 0.0), (7.0, 0.4), (9.25, 0.7)])
def test_from_an_epoch_on_the_teacher_has_a_rising_share_and_weighs_the_images(epochs, share):
    noise = NoiseRecipe(teacher=0.9, trust=0.8, trust_from=4.0, agreement=2.0)
    given, learns = lesson(epochs=epochs), learning(noise)
    with torch.no_grad():
        for weight in learns.teacher.parameters():
            weight.add_(0.3)
    believed = learns.teacher.eval()(given.images)[0].sigmoid().detach()
    truth, weight = given.truth, torch.ones(3)
    if share is not None:
        truth = (1 - share) * truth + share * believed
        weight = soft_iou(believed, given.truth) ** 2
    outputs = learns.network(given.images)
    expected = (sum(literal(logits, truth) for logits in outputs) * weight).mean()
    found = learns(given)
    assert_allclose(found.loss.item(), expected.item(), rtol=1e-5)
    assert_allclose(found.scalars["l0"], literal(outputs[0], truth).mean().item(), rtol=1e-5)


def test_the_teacher_computes_in_the_precision_of_its_student():
    learns = learning(NoiseRecipe(teacher=0.9, trust=0.8)).train()
    types = []
    for network in (learns.network, learns.teacher):
        network.first.register_forward_hook(lambda module, given, out: types.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = learns(lesson(epochs=2.0))
    assert types == [torch.bfloat16, torch.bfloat16]
    assert output.loss.dtype == torch.float32


def test_the_teacher_is_a_moving_average_of_weights_and_statistics_faster_at_the_beginning():
    learns = learning(NoiseRecipe(teacher=0.9))
    for step, keep in ((0, 0.1), (5, 0.4), (1000, 0.9)):
        before = {k: v.clone() for k, v in learns.teacher.state_dict().items()}
        learns.train()(lesson(step))
        with torch.no_grad():
            for weight in learns.network.parameters():
                weight.add_(1.0)
        learns.end_step()
        fast = learns.network.state_dict()
        for name, slow in learns.teacher.state_dict().items():
            if slow.is_floating_point():
                expected = keep * before[name] + (1 - keep) * fast[name]
                assert_allclose(slow, expected, rtol=1e-5, err_msg=name)
            else:
                assert slow == fast[name]


def test_the_teacher_is_never_trained_and_never_in_training_mode():
    learns = learning(NoiseRecipe(teacher=0.9, trust=1.0)).train()
    assert learns.network.training
    assert not learns.teacher.training
    before = {k: v.clone() for k, v in learns.teacher.state_dict().items()}
    learns(lesson(epochs=5)).loss.backward()
    assert all(torch.equal(before[k], v) for k, v in learns.teacher.state_dict().items())
    assert all(weight.grad is None for weight in learns.teacher.parameters())
    assert all(weight.grad is not None for weight in learns.network.parameters())
    assert learns.mask_network is learns.teacher
    assert learning().mask_network is not None


def test_the_same_seed_makes_the_same_weights_and_leaves_torchs_own_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, again, other = (make_model(small(f"seed={seed}")) for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    pairs = list(zip(one.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("teacher", [0.0, 0.9])
def test_a_checkpoint_holds_the_weights_that_make_masks_under_the_networks_own_names(teacher):
    learns = learning(NoiseRecipe(teacher=teacher))
    with torch.no_grad():
        for weight in learns.network.parameters():
            weight.add_(1.0)
    content = learns.checkpoint()
    assert list(content["state_dict"]) == list(Linear().state_dict())
    assert ("student" in content) == bool(teacher)
    again = learning(NoiseRecipe(teacher=teacher))
    again.load_checkpoint(content)
    for name, value in learns.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert np.isfinite(content["state_dict"]["first.weight"].numpy()).all()
