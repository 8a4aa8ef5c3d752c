"""Tiny labelled folders whose classes a look at the colour tells apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection


def write_class_folders(root: Path, classes: tuple[str, ...], *, each: int, seed: int = 0) -> Path:
    """Write noisy images of one colour a class, in sizes that differ."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(each):
            height, width = rng.integers(30, 60, 2)
            pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
            pixels[:, :, number % 3] += 190
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def listed_folders(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note from now on each folder whose images are listed."""
    roots: list[Path] = []
    listing = ImageSelection.names

    def names(self: ImageSelection, **more: Any) -> Names:
        roots.append(self.root)
        return listing(self, **more)

    monkeypatch.setattr(ImageSelection, "names", names)
    return roots
