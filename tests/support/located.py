"""A small collection with objects to find: images, their masks, and maps that are perfect."""

from pathlib import Path

import numpy as np
from support.maps import save

SIDE = 32


def write_objects(root: Path, names: tuple[str, ...]) -> Path:
    """Write an image, a mask and a perfect map of each name: a bright rectangle on noise."""
    rng = np.random.default_rng(3)
    for name in names:
        top, left = rng.integers(2, 12, 2)
        truth = np.zeros((SIDE, SIDE), np.uint8)
        truth[top : top + 14, left : left + 16] = 255
        image = np.where(truth[:, :, None] > 0, 220, rng.integers(0, 90, (SIDE, SIDE, 3)))
        save(root / "images" / f"{name}.jpg", image.astype(np.uint8))
        save(root / "masks" / f"{name}.png", truth)
        save(root / "perfect" / f"{name}.png", truth)
    return root
