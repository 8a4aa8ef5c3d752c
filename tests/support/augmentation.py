"""The augmentation of one view, read off torchvision's own functions: the oracle of batches."""

import torch
from torchvision.transforms.v2 import functional

from dilo.train.augment.color import MEAN, STD
from dilo.train.data.draws import GRAY, PasteDraw

#: Jitter that changes nothing.
NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
#: Radius of the blur's kernel for MoCo v2's largest sigma, 2.
RADIUS = 6


def on_gray(level=0, blend_sigma=0.0):
    """Paste on a level of gray."""
    box = (0.0, 0.0, 1.0, 1.0)
    return PasteDraw(
        kind=GRAY, gray_level=level, pick=0.0, background_box=box, blend_sigma=blend_sigma
    )


def smooth_crops(count, size, seed=0):
    """Make images of smooth noise, as photographs are mostly, and masks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 4, size // 5, size // 5, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    noisy = fine + 0.03 * torch.randn(fine.shape, generator=generator)
    values = ((noisy * 1.4 - 0.2).clamp(0, 1) * 255).round().to(torch.uint8)
    return values[:, :3].contiguous(), values[:, 3:].contiguous()


def one_by_one(image, mask, draw, views):
    """Augment one sample with functions on float tensors, as `augment` does a batch."""
    x = functional.to_dtype(image, torch.float32, scale=True)
    if draw.paste:
        alpha = mask / 255
        x = x * alpha + draw.paste.gray_level / 255 * (1 - alpha)
    for name in views.order:
        if name == "jitter" and draw.jitter:
            x = jittered(x, draw)
        if name == "gray" and draw.gray:
            x = functional.rgb_to_grayscale(x, 3)
        if name == "blur" and draw.blur_sigma:
            x = blurred(x, draw.blur_sigma)
    return functional.normalize(x, list(MEAN), list(STD))


def jittered(image, draw, changed=tuple(NEUTRAL)):
    """Do the operations in the draw's order, on a tensor or on a Pillow image."""
    for name in (list(NEUTRAL)[operation] for operation in draw.order):
        if name in changed:
            image = getattr(functional, f"adjust_{name}")(image, getattr(draw, name))
    return image


def blurred(image, sigma):
    """Blur a float tensor, edges replicated."""
    padded = torch.nn.functional.pad(image[None], (RADIUS,) * 4, mode="replicate")[0]
    result = functional.gaussian_blur(padded, [2 * RADIUS + 1] * 2, [sigma] * 2)
    return result[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
