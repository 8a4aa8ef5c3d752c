"""Small masks with ground truths to draw, and folders of them to score."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

#: Height and width of the truths that `write_maps` writes.
SHAPES = ((24, 30), (30, 24), (20, 20), (16, 40))


@st.composite
def masks_and_truths(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a mask in few or many values, and a truth: any, from empty to full."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = rng.integers(0, 256, draw(st.integers(1, 40)), dtype=np.uint8)
    truth = rng.random(shape) < draw(st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.0]))
    return rng.choice(palette, shape), truth


def disc(shape: tuple[int, int], radius: float) -> NDArray[np.uint8]:
    """Draw a white disc on black."""
    rows, columns = np.indices(shape)
    away = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2.5)
    return np.where(away < radius, 255, 0).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_maps(root: Path) -> Path:
    """Write four truths, an image of each, and two methods: good masks, worse by image; bad ones.

    The masks of `good` are the truth, off by 40 times the number of the image; those of
    `bad` are the opposite of the truth.
    """
    for number, shape in enumerate(SHAPES):
        truth = disc(shape, 6 + number)
        noise = np.random.default_rng(number).integers(0, 40 * number + 1, shape)
        save(root / "truth" / "a" / f"{number}.png", truth)
        good = np.where(truth, 255 - noise, noise).astype(np.uint8)
        save(root / "good" / "a" / f"{number}.png", good)
        save(root / "bad" / "a" / f"{number}.png", 255 - truth)
        save(root / "images" / "a" / f"{number}.jpg", np.stack([truth, good, truth], axis=-1))
    return root
