"""Time the batched augmentation of MoCo v2 with copy-paste: one JSON line.

    python benchmarks/augment.py [--batch 64] [--size 224] [--device cpu|cuda] [--threads 1]

The yardstick is torchvision's v2 transforms, image by image on one core, by the same draws: on
float tensors and on Pillow images, the faster of which the ratio is to. Uint8 crops in,
normalised float tensors out, for all three; on a GPU the crops are on the device beforehand.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.v2 import functional

from dilo.train.augment import MEAN, STD, augment, stack
from dilo.train.draws import ViewDraw, view_draw
from dilo.train.recipe import load_recipe

ADJUST = (
    ("brightness", functional.adjust_brightness),
    ("contrast", functional.adjust_contrast),
    ("saturation", functional.adjust_saturation),
    ("hue", functional.adjust_hue),
)


def colours(image: Any, draw: ViewDraw, blur: Callable[[Any, float], Any]) -> Any:
    """Jitter, gray and blur as MoCo v2 orders them, of a tensor or a Pillow image."""
    if draw.jitter:
        for name, adjust in (ADJUST[operation] for operation in draw.order):
            image = adjust(image, getattr(draw, name))
    if draw.gray:
        image = functional.rgb_to_grayscale(image, 3)
    if draw.blur_sigma:
        image = blur(image, draw.blur_sigma)
    return image


def by_tensor(image: Tensor, mask: Tensor, draw: ViewDraw) -> Tensor:
    """Augment one image as a float tensor."""
    x = image / 255
    if draw.paste:
        alpha = mask / 255
        x = x * alpha + draw.gray_level / 255 * (1 - alpha)
    x = colours(x, draw, lambda y, sigma: functional.gaussian_blur(y, [13, 13], [sigma] * 2))
    return functional.normalize(x, list(MEAN), list(STD))


def by_pillow(image: Image.Image, mask: Image.Image, draw: ViewDraw) -> Tensor:
    """Augment one image as the MoCo repository does, in Pillow."""
    if draw.paste:
        level = Image.new("RGB", image.size, (draw.gray_level,) * 3)
        image = Image.composite(image, level, mask)
    image = colours(image, draw, lambda y, sigma: y.filter(ImageFilter.GaussianBlur(sigma)))
    x = functional.to_dtype(functional.pil_to_tensor(image), torch.float32, scale=True)
    return functional.normalize(x, list(MEAN), list(STD), inplace=True)


def rates(
    runs: dict[str, Callable[[], object]], threads: dict[str, int], images: int, rounds: int
) -> dict[str, float]:
    """Images a second of each run, median over rounds that take them in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            torch.set_num_threads(threads[name])
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    # The first round warms up.
    return {name: round(images / statistics.median(s[1:]), 1) for name, s in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of augment")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--recipe", default="moco-v2")
    options = parser.parse_args()

    recipe = load_recipe(options.recipe, [f"views.size={options.size}"])
    side = {"height": 375, "width": 500}
    draws = [
        view_draw(recipe.views, recipe.paste, seed=0, epoch=0, sample=i, view=0, **side)
        for i in range(options.batch)
    ]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (options.batch, options.size, options.size, 4), np.uint8)
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    images, masks = values[:, :3].contiguous(), values[:, 3:].contiguous()
    pictures = [(Image.fromarray(p[..., :3]), Image.fromarray(p[..., 3])) for p in pixels]
    device = torch.device(options.device)
    there, parameters = (images.to(device), masks.to(device)), stack(draws)

    def batched() -> None:
        augment(*there, parameters, recipe.views)
        if device.type == "cuda":
            torch.cuda.synchronize()

    runs: dict[str, Callable[[], object]] = {
        "augment": batched,
        "tensor": lambda: [by_tensor(*x) for x in zip(images, masks, draws, strict=True)],
        "pillow": lambda: [by_pillow(*x, d) for x, d in zip(pictures, draws, strict=True)],
    }
    threads = {"augment": options.threads, "tensor": 1, "pillow": 1}
    rate = rates(runs, threads, options.batch, options.rounds)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    result = {
        "measured": f"augment, {options.recipe}, {options.batch} x {options.size} px",
        "images_per_second": rate["augment"],
        "ratio": round(rate["augment"] / max(rate["tensor"], rate["pillow"]), 2),
        "yardstick": "torchvision.transforms.v2, image by image, one core",
        "yardstick_images_per_second": {"tensor": rate["tensor"], "pillow": rate["pillow"]},
        "device": f"{options.device} ({name})",
        "threads": options.threads,
        "versions": {p: version(p) for p in ("torch", "torchvision", "numpy", "pillow")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
