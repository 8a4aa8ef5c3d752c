"""LOST: the seed, what is like it, and the box; and the grid of a dilated ResNet."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from dilo.eval.localize.lost import STRIDE, dilate, feature_box, seed_component
from dilo.eval.models.encoder import Encoder
from dilo.eval.models.two_stream import TwoStream
from dilo.pipeline.errors import CheckpointError
from dilo.train.networks.encoder import build_network
from dilo.train.recipes.recipe import ModelRecipe


def object_map(height, width, rows, columns, depth=8, seed=0):
    """Draw a feature map: one direction on the object, the opposite elsewhere, and noise."""
    draws = torch.Generator().manual_seed(seed)
    cells = 0.1 * torch.randn(depth, height, width, generator=draws)
    cells[0] -= 1
    cells[0, rows, columns] += 2
    return cells


def literal_component(cells):
    """Follow the paper cell by cell."""
    depth, height, width = cells.shape
    flat = cells.reshape(depth, -1).T.double().numpy()
    flat = (flat - flat.mean()) / np.sqrt(flat.var() + 1e-5)
    count = len(flat)
    product = [[float(flat[p] @ flat[q]) for q in range(count)] for p in range(count)]
    degree = [sum(product[p][q] > 0 for q in range(count) if q != p) for p in range(count)]
    order = sorted(range(count), key=lambda p: degree[p])
    seed = order[0]
    kind = [p for p in order[:100] if product[seed][p] > 0]
    chosen = {p for p in range(count) if sum(product[q][p] for q in kind) > 0}
    reached, waiting = set(), [seed]
    while waiting:
        cell = waiting.pop()
        if cell in reached or cell not in chosen:
            continue
        reached.add(cell)
        row, column = divmod(cell, width)
        waiting += [cell - width] if row else []
        waiting += [cell + width] if row < height - 1 else []
        waiting += [cell - 1] if column else []
        waiting += [cell + 1] if column < width - 1 else []
    mask = np.zeros(count, bool)
    mask[list(reached)] = True
    return mask.reshape(height, width)


@pytest.mark.parametrize("seed", range(6))
def test_the_component_is_that_of_the_paper_read_literally(seed):
    draws = torch.Generator().manual_seed(seed)
    cells = object_map(11, 13, slice(2, 6), slice(3, 9), seed=seed)
    cells += 0.8 * torch.randn(cells.shape, generator=draws)
    np.testing.assert_array_equal(seed_component(cells), literal_component(cells))


def test_the_smaller_of_two_kinds_is_the_object():
    mask = seed_component(object_map(12, 16, slice(3, 7), slice(5, 12)))
    assert mask.sum() == 4 * 7
    assert mask[3:7, 5:12].all()


def test_of_two_objects_that_do_not_touch_one_is_taken():
    cells = object_map(12, 16, slice(1, 4), slice(1, 4))
    cells[0, 7:10, 10:14] += 2
    parts = {tuple(mask.any(1).nonzero()[0]) for mask in [seed_component(cells)]}
    assert parts in ({(1, 2, 3)}, {(7, 8, 9)})


def test_a_map_that_is_all_alike_gives_one_cell_or_more():
    assert seed_component(torch.ones(4, 5, 6)).any()


def test_a_dilated_network_keeps_the_grid_of_its_third_stage():
    torch.manual_seed(0)
    network = resnet18().eval()
    trunk = nn.Sequential(*list(network.children())[:-2])
    images = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        before = trunk(images)
        dilate(network)
        after = trunk(images)
    assert before.shape[2:] == (3, 4)
    assert after.shape[2:] == (6, 8)


def test_dilation_is_that_of_torchvision():
    torch.manual_seed(0)
    network = resnet50(width_per_group=16).eval()
    dilated = [False, False, True]
    other = resnet50(width_per_group=16, replace_stride_with_dilation=dilated).eval()
    other.load_state_dict(network.state_dict())
    dilate(network)
    images = torch.randn(1, 3, 64, 80)
    with torch.no_grad():
        torch.testing.assert_close(network(images), other(images), rtol=0, atol=0)


class Painted(nn.Module):
    """A network that is only asked where it is."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def encoder_of(network, arch="resnet18"):
    return Encoder(network.eval(), 224, Path("weights.pth"), model=ModelRecipe(arch=arch))


def test_the_box_is_in_pixels_of_the_image_and_ends_at_its_edge(monkeypatch):
    seen = []

    def painted_maps(self, images):
        seen.append(images)
        cells = nn.functional.avg_pool2d(images.mean(1, keepdim=True), STRIDE)
        return [torch.cat([cells - 0.5, 0.5 - cells], 1)]

    monkeypatch.setattr(Encoder, "feature_maps", painted_maps)
    image = np.zeros((100, 150, 3), np.uint8)
    image[64:, 96:] = 255
    box = feature_box(encoder_of(Painted()), image)
    np.testing.assert_array_equal(box, [96, 64, 150, 100])
    large = np.kron(image, np.ones((16, 16, 1), np.uint8))  # of 2400 px, and shrunk to 1024
    np.testing.assert_allclose(feature_box(encoder_of(Painted()), large) / 16, box, atol=3)
    filled = seen[0]
    assert filled.shape == (1, 3, 112, 160)
    np.testing.assert_allclose(filled[0, :, -1, -1], [0.485, 0.456, 0.406], atol=1e-6)


def test_a_network_finds_a_box_in_the_image_and_a_pair_does_too():
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    model = ModelRecipe(arch="resnet18")
    single = encoder_of(build_network(model))
    pair = Encoder(
        TwoStream(build_network(model, channels=1), build_network(model, channels=2)).eval(),
        224,
        Path("pair.pth"),
        space="lab",
    )
    for encoder in (single, pair):
        dilate(encoder.network)
        x0, y0, x1, y1 = feature_box(encoder, image)
        assert 0 <= x0 < x1 <= 90
        assert 0 <= y0 < y1 <= 70


def test_a_network_without_feature_maps_is_refused():
    pytest.importorskip("timm")
    model = ModelRecipe(arch="timm:vit_tiny_patch16_224")
    with pytest.raises(CheckpointError) as error:
        feature_box(
            encoder_of(build_network(model), "timm:vit_tiny_patch16_224"),
            np.zeros((224, 224, 3), np.uint8),
        )
    assert str(error.value) == (
        "weights.pth must have feature maps to find objects by, got none from "
        "timm:vit_tiny_patch16_224: take a ResNet"
    )
