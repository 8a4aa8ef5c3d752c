"""What read-outs see of an image, against torchvision's published transform."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.train.augment.color import normalise
from dilo.train.data.evaluation import EvalImages, center_crop, squashed


@pytest.mark.parametrize(
    ("height", "width"), [(300, 200), (200, 331), (224, 224), (40, 500), (1, 1)]
)
@pytest.mark.parametrize("size", [224, 96, 33])
def test_the_crop_equals_the_published_transform(height, width, size):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    published = transforms.Compose(
        [
            transforms.Resize(round(size * 256 / 224)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    crop = center_crop(pixels, size)
    assert crop.dtype == torch.uint8
    assert torch.equal(normalise(crop[None] / 255)[0], published(Image.fromarray(pixels)))


def test_at_224_px_the_short_side_becomes_256():
    stripes = np.zeros((256, 400, 3), np.uint8)
    stripes[:, 88:312] = 255  # the 224 columns in the middle of what is already 256 high
    assert bool((center_crop(stripes, 224) == 255).all())


def test_squashed_is_all_of_the_image_at_the_side_of_a_crop(tmp_path):
    halves = np.zeros((20, 60, 3), np.uint8)
    halves[:, 30:, 0] = 255  # of which a middle crop would show a third
    Image.fromarray(halves).save(tmp_path / "a.png")
    position, crop = EvalImages(FolderSource(tmp_path), Names(["a.png"]), 8, squashed)[0]
    assert position == 0
    assert crop.shape == (3, 8, 8)
    assert crop[0].tolist() == [[0] * 4 + [255] * 4] * 8
    assert crop[1:].sum() == 0
