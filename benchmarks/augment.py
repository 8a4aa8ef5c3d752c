"""Time the batched augmentation of MoCo v2 with copy-paste: one JSON line.

    python benchmarks/augment.py [--batch 256] [--size 224] [--device cpu|cuda] [--threads 1]
        [--backgrounds gray|mixture] [--step]

The yardstick is torchvision's v2 transforms, view by view on one core, by the same draws: on
float tensors and on Pillow images, the faster of which the ratio is to. Uint8 crops in,
normalised float tensors out, for all three; on a GPU the crops are on the device beforehand, and
what comes out is bfloat16, as for a network in that precision.
A mixture is gray, textures and crops, as often each, from a bank of 1024 pictures. With --step, a
whole training step of the recipe on the same device is timed too, for the share that is ours.
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

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import MEAN, STD
from dilo.train.augment.views import augment
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import CROPS, GRAY, TEXTURES, ViewDraw, view_draw
from dilo.train.engine.optim import make_optimizer
from dilo.train.engine.trainer import Optimization
from dilo.train.methods import make_method
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime.options import RunOptions

#: Backgrounds of the yardstick, in Pillow.
PICTURES: list[Image.Image] = []
#: Stands for the rows of a store, which are only counted here.
ROWS: Any = range(10**6)
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


def background(draw: ViewDraw, side: int) -> Image.Image:
    """Make or cut what lies behind a view, in Pillow."""
    if draw.paste.kind == GRAY:
        return Image.new("RGB", (side, side), (draw.paste.gray_level,) * 3)
    picture = PICTURES[int(draw.paste.pick * len(PICTURES))]
    top, left, height, width = draw.paste.background_box
    right = left + width
    box = (min(left, right), top, max(left, right), top + height)
    cut = picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if width < 0 else cut


def by_tensor(image: Tensor, mask: Tensor, draw: ViewDraw) -> Tensor:
    """Augment one image as a float tensor."""
    x = image / 255
    if draw.paste:
        alpha = mask / 255
        x = x * alpha + functional.pil_to_tensor(background(draw, image.shape[2])) / 255 * (
            1 - alpha
        )
    x = colours(x, draw, lambda y, sigma: functional.gaussian_blur(y, [13, 13], [sigma] * 2))
    return functional.normalize(x, list(MEAN), list(STD))


def by_pillow(image: Image.Image, mask: Image.Image, draw: ViewDraw) -> Tensor:
    """Augment one image as the MoCo repository does, in Pillow."""
    if draw.paste:
        image = Image.composite(image, background(draw, image.width), mask)
    image = colours(image, draw, lambda y, sigma: y.filter(ImageFilter.GaussianBlur(sigma)))
    x = functional.to_dtype(functional.pil_to_tensor(image), torch.float32, scale=True)
    return functional.normalize(x, list(MEAN), list(STD), inplace=True)


def medians(
    runs: dict[str, Callable[[], object]], threads: dict[str, int], rounds: int
) -> dict[str, float]:
    """Seconds of each run, median over rounds that take them in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            torch.set_num_threads(threads[name])
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    # The first round warms up.
    return {name: statistics.median(s[1:]) for name, s in seconds.items()}


def bank_of(recipe: Recipe, device: torch.device) -> BackgroundBank:
    """Make a bank whose pictures are noise, for what they show does not matter here."""
    weights = recipe.paste.backgrounds
    stored = {TEXTURES: weights.textures, CROPS: weights.crops}
    stores = {kind: ROWS for kind, weight in stored.items() if weight}
    bank = BackgroundBank(recipe.paste, stores, device, seed=recipe.seed, side=recipe.views.size)
    bank.pictures.random_(0, 256)
    PICTURES[:] = [functional.to_pil_image(picture) for picture in bank.pictures[:64].cpu()]
    return bank


def training_step(recipe: Recipe, device: torch.device) -> Callable[[], object]:
    """Make a step of the recipe's method on views that are ready: forward, backward, update."""
    count, side = recipe.optimizer.batch, recipe.views.size
    method = make_method(recipe, TrainingSet(count, 1000)).to(device)
    method.to(memory_format=torch.channels_last).train()
    optimizer = make_optimizer(method, recipe.optimizer)
    machine = RunOptions(device=device, workers=0, precision="bf16")
    update = Optimization(method, optimizer, machine)
    shape = (method.view_count * count, 3, side, side)
    views = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(256, (shape[0], 1, side, side), dtype=torch.uint8, device=device)
    samples = torch.arange(count, device=device)
    batch = ViewBatch(
        views=views.chunk(method.view_count),
        samples=samples,
        step=0,
        labels=samples % 1000 if method.needs_labels else None,
        masks=(masks / 255).chunk(method.view_count) if method.needs_masks else (),
    )
    return lambda: update.step([batch], 1, recipe.optimizer.lr)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256, help="images, of two views each")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of augment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipe", default="moco-v2")
    parser.add_argument("--backgrounds", choices=["gray", "mixture"], default="mixture")
    parser.add_argument("--step", action="store_true", help="time a training step, too")
    return parser.parse_args()


def main() -> None:
    options = options_of()
    words = [f"views.size={options.size}", f"optimizer.batch={options.batch}"]
    if options.backgrounds == "mixture":
        words += [f"paste.backgrounds.{word}=1" for word in ("textures", "crops")]
    recipe = load_recipe(options.recipe, words)
    side = {"height": 375, "width": 500}
    draws = [
        view_draw(recipe.views, recipe.paste, seed=0, epoch=0, sample=i, view=view, **side)
        for view in (0, 1)
        for i in range(options.batch)
    ]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (len(draws), options.size, options.size, 4), np.uint8)
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    images, masks = values[:, :3].contiguous(), values[:, 3:].contiguous()
    pictures = [(Image.fromarray(p[..., :3]), Image.fromarray(p[..., 3])) for p in pixels]
    device = torch.device(options.device)
    there, parameters = (images.to(device), masks.to(device)), stack_params(draws)
    bank = bank_of(recipe, device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def waited(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    runs: dict[str, Callable[[], object]] = {
        "augment": waited(lambda: augment(*there, parameters, recipe.views, bank, dtype=dtype)),
        "tensor": lambda: [by_tensor(*x) for x in zip(images, masks, draws, strict=True)],
        "pillow": lambda: [by_pillow(*x, d) for x, d in zip(pictures, draws, strict=True)],
    }
    threads = {"augment": options.threads, "tensor": 1, "pillow": 1}
    if options.step:
        runs["step"] = waited(training_step(recipe, device))
        threads["step"] = options.threads
    seconds = medians(runs, threads, options.rounds)
    best = min(seconds["tensor"], seconds["pillow"])
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    result = {
        "measured": f"augment, {options.recipe}, {options.batch} images of two views of "
        f"{options.size} px, pasted on {options.backgrounds}",
        "milliseconds": round(1000 * seconds["augment"], 1),
        "views_per_second": round(len(draws) / seconds["augment"], 1),
        "ratio": round(best / seconds["augment"], 2),
        "yardstick": "torchvision.transforms.v2, view by view, one core",
        "yardstick_milliseconds": {w: round(1000 * seconds[w], 1) for w in ("tensor", "pillow")},
        "device": f"{options.device} ({name})",
        "threads": options.threads,
        "versions": {p: version(p) for p in ("torch", "torchvision", "numpy", "pillow")},
    }
    if options.step:
        result["step_milliseconds"] = round(1000 * seconds["step"], 1)
        result["share_of_step"] = round(seconds["augment"] / seconds["step"], 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
