"""The U-Net: what it gives, of what size, and how large it is."""

import pytest
import torch

from dilo.train.saliency.unet import UNet


@pytest.mark.parametrize("shape", [(32, 32), (64, 96)])
def test_every_level_gives_logits_of_the_images_size(shape):
    torch.manual_seed(0)
    outputs = UNet(4).eval()(torch.randn(2, 3, *shape))
    assert [tuple(output.shape) for output in outputs] == [(2, 1, *shape)] * 5
    assert min(output.min() for output in outputs) < 0


def test_it_has_4_million_parameters_at_the_default_width():
    assert sum(value.numel() for value in UNet().parameters()) == 4_122_853


def test_coarser_levels_see_the_image_less_sharply():
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        outputs = UNet(4).eval()(image)
    steps = [output.diff(dim=3).diff(dim=3).abs().mean() / output.std() for output in outputs]
    assert steps == sorted(steps, reverse=True)


def test_every_output_learns():
    network = UNet(4)
    sum(output.square().mean() for output in network(torch.randn(2, 3, 64, 64))).backward()
    assert all(value.grad is not None and value.grad.any() for value in network.parameters())


def test_a_map_does_not_hang_on_the_rest_of_its_batch():
    torch.manual_seed(0)
    network = UNet(4).eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        together, alone = network(images)[0][1:2], network(images[1:2])[0]
    torch.testing.assert_close(together, alone)
