"""ContraCAM's score and map, against a literal reading of the published code in plain torch."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, normalize

from dilo.eval.attribution.contrast import contrast_maps, contrastive_score
from dilo.eval.models.encoder import Encoder
from dilo.eval.models.two_stream import TwoStream
from dilo.train.augment.color import to_color_space
from dilo.train.networks.encoder import resnet
from dilo.train.recipes.recipe import ModelRecipe

DIM, SIDE = 8, 48


def network(head="mlp", channels=3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ModelRecipe(arch="resnet18", stem="small", width=0.25, head=head, dim=DIM)
        made = resnet(model, channels).eval()
        for name, tensor in made.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
    return made.requires_grad_(False)


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def bank(rows=16, seed=1):
    return normalize(drawn(rows, DIM, seed=seed) - 0.5)


def encoder_of(made, tmp_path, space="rgb"):
    return Encoder(made, SIDE, tmp_path / "c.pt", space=space)


def literal(made, pixels, negatives, key=None):
    """Read GradCAM.get_contrastive_cam to the letter, with a queue in place of the batch."""
    trunk = nn.Sequential(*list(made.children())[:-2])
    feature = trunk(pixels).detach().requires_grad_()
    output = normalize(made.fc(torch.flatten(made.avgpool(feature), 1)))
    key = output.detach() if key is None else key
    positive = torch.einsum("nc,nc->n", [output, key])
    negative = torch.einsum("nc,kc->nk", [output, negatives])
    score = (positive.exp() / negative.exp().sum(dim=1)).log()
    (gradient,) = torch.autograd.grad(score.sum(), feature)
    weight = nn.functional.adaptive_avg_pool2d(gradient, output_size=(1, 1)).clamp_min(0)
    cam = torch.relu(torch.sum(weight * feature, dim=1, keepdim=True).detach())
    return cam, output.detach()


def stretched(cam):
    cam = cam - cam.amin((-2, -1), keepdim=True)
    return cam / (cam.amax((-2, -1), keepdim=True) + 1e-20)


def test_the_score_is_that_of_its_formula():
    query, key, negatives = (normalize(drawn(4, DIM, seed=s) - 0.5) for s in (0, 1, 2))
    for row, score in enumerate(contrastive_score(query, key, negatives)):
        total = sum(torch.exp(query[row] @ one) for one in negatives)
        expected = torch.log(torch.exp(query[row] @ key[row]) / total)
        torch.testing.assert_close(score, expected)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_maps_are_those_of_the_published_code_with_the_queue_for_negatives(tmp_path, head):
    made, images, queue = network(head), drawn(3, 3, SIDE, SIDE), bank()
    maps = contrast_maps(encoder_of(made, tmp_path), (queue,), images)
    assert (maps.shape, maps.dtype) == ((3, SIDE, SIDE), torch.float32)
    pixels = to_color_space(images, "rgb")
    cam, _ = literal(made, pixels, queue)
    assert (cam.amax((1, 2, 3)) > cam.amin((1, 2, 3))).all()
    expected = interpolate(cam, (SIDE, SIDE), mode="bicubic", align_corners=False)[:, 0]
    torch.testing.assert_close(stretched(maps), stretched(expected), rtol=1e-4, atol=1e-5)


def test_other_negatives_give_another_map(tmp_path):
    made, images = network(), drawn(1, 3, SIDE, SIDE)
    one, other = (
        stretched(contrast_maps(encoder_of(made, tmp_path), (bank(seed=seed),), images))
        for seed in (1, 2)
    )
    assert (one - other).abs().max() > 0.01


def test_half_a_pair_is_contrasted_with_the_other_s_bank_and_both_count_alike(tmp_path):
    light, colour = network(channels=1, seed=0), network(channels=2, seed=5)
    images, banks = drawn(2, 3, SIDE, SIDE), (bank(seed=1), bank(seed=2))
    encoder = encoder_of(TwoStream(light, colour), tmp_path, "lab")
    maps = contrast_maps(encoder, banks, images)
    pixels = to_color_space(images, "lab")
    halves = (light, pixels[:, :1]), (colour, pixels[:, 1:])
    first, second = (literal(*half, banks[0])[1] for half in halves)
    cams = (literal(*halves[0], banks[0], second)[0], literal(*halves[1], banks[1], first)[0])
    united = sum(cam / cam.amax((1, 2, 3), keepdim=True) for cam in cams)
    expected = interpolate(united, (SIDE, SIDE), mode="bicubic", align_corners=False)[:, 0]
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4)


def test_a_network_is_left_as_it_was(tmp_path):
    made = network()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    contrast_maps(encoder_of(made, tmp_path), (bank(),), drawn(1, 3, SIDE, SIDE))
    assert all(value.equal(before[name]) for name, value in made.state_dict().items())
    assert all(parameter.grad is None for parameter in made.parameters())
