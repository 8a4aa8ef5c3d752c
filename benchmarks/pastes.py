"""Count what a recipe's draws come to, beside the authors' numbers: one JSON line.

    python benchmarks/pastes.py [--recipe moco-v1] [--images 100000] [--set KEY=VALUE]

The authors' loader pastes a view with probability 0.3, each view alone, on a gray level of 0 to
254, and blurs every other mask with sigma 5 at the image's size: an edge then rises from 10 to
90 % within 14 pixels.
"""

import argparse
import dataclasses
import json
from importlib.metadata import version

import numpy as np
from scipy.stats import chisquare

from dilo.train.data.crop import crop
from dilo.train.data.draws import KINDS, PasteDraw, ViewDraw, view_draw
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import Recipe

AUTHORS = {
    "pasted": 0.3,
    "neither": 0.49,
    "one": 0.42,
    "both": 0.09,
    "blurred": 0.5,
    "gray_levels": [0, 254],
    "edge_pixels": 14,
}


def drawn(recipe: Recipe, images: int, view: int) -> list[ViewDraw]:
    """Draw a view of each of many images."""
    key = {"seed": recipe.seed, "epoch": 0, "view": view, "height": 375, "width": 500}
    return [view_draw(recipe.views, recipe.paste, sample=i, **key) for i in range(images)]


def edge_width(draw: ViewDraw, size: int = 500) -> int:
    """Count the pixels in which the alpha of a blurred straight edge rises from 10 to 90 %."""
    mask = np.zeros((224, 224), np.uint8)
    mask[:, 112:] = 255
    image = np.zeros((size, size, 3), np.uint8)
    profile = crop(image, mask, draw, size)[1][size // 2].astype(float) / 255
    return int(((profile > 0.1) & (profile < 0.9)).sum())


def counts(recipe: Recipe, images: int) -> dict[str, object]:
    """Draw both views of many images, and count."""
    first, second = (drawn(recipe, images, view) for view in (0, 1))
    one, two = (np.array([draw.paste is not None for draw in draws]) for draws in (first, second))
    pastes: list[PasteDraw] = [draw.paste for draw in (*first, *second) if draw.paste]
    levels = np.bincount([paste.gray_level for paste in pastes], minlength=255)
    kinds = np.bincount([paste.kind for paste in pastes], minlength=len(KINDS)) / len(pastes)
    return {
        "pasted": round(float(np.mean([one, two])), 4),
        "neither": round(float((~one & ~two).mean()), 4),
        "one": round(float((one ^ two).mean()), 4),
        "both": round(float((one & two).mean()), 4),
        "blurred": round(float(np.mean([paste.blend_sigma > 0 for paste in pastes])), 4),
        "kinds": {word: round(float(share), 4) for word, share in zip(KINDS, kinds, strict=True)},
        "gray_levels": [int(np.flatnonzero(levels).min()), int(np.flatnonzero(levels).max())],
        "gray_levels_even_p": round(float(chisquare(levels).pvalue), 3),
        "edge_pixels": edge_width(whole(recipe)),
    }


def whole(recipe: Recipe, size: int = 500) -> ViewDraw:
    """Draw a view of all of a square image, pasted, and its mask blurred."""
    words = ["paste.probability=1", "paste.blend=gaussian", f"views.size={size}"]
    settings = load_recipe("moco-v1", words)
    key = {"seed": recipe.seed, "epoch": 0, "sample": 0, "view": 0}
    part = view_draw(settings.views, settings.paste, **key, height=size, width=size)
    return dataclasses.replace(part, box=(0, 0, size, size), flip=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recipe", default="moco-v1")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, options.overrides)
    result = {
        "measured": f"draws of {options.recipe}, two views of {options.images} images",
        **counts(recipe, options.images),
        "authors": AUTHORS,
        "versions": {"numpy": version("numpy")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
