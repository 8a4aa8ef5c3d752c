"""Small photographs made of numbers: an object on a background, in class folders."""

from pathlib import Path

import numpy as np
from PIL import Image


def photograph(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """Draw a disc of one colour on a noisy background of another."""
    return _drawn(seed, height, width)[0]


def disc_and_truth(seed: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same as a square, and where its disc is, 0 or 1."""
    return _drawn(seed, side, side)


def _drawn(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    centre = rng.uniform(0.35, 0.65, 2) * (height, width)
    disc = np.hypot(rows - centre[0], columns - centre[1]) < 0.25 * min(height, width)
    colours = rng.integers(0, 256, (2, 3))
    image = np.where(disc[:, :, None], colours[0], colours[1]) + rng.normal(
        0, 6, (height, width, 3)
    )
    return np.clip(image, 0, 255).astype(np.uint8), disc.astype(np.float32)


def photograph_folder(root: Path, count: int, classes: int = 2) -> Path:
    """Write photographs as JPEG into class folders."""
    for i in range(count):
        folder = root / f"class{i % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(i, 50 + i % 7, 60 + i % 5)).save(folder / f"{i:03d}.jpg")
    return root
