"""A sheet of the images on which maps find the object best, middling and worst."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from dilo.eval.figures.heatmaps import overlay
from dilo.eval.localization.boxes import Boxes
from dilo.eval.localization.examples import Example
from dilo.eval.localization.maps import levels, normalized
from dilo.eval.localization.measures import map_box
from dilo.eval.localization.score import Score
from dilo.pipeline.images.sheets import Picture, sheet

CELL = 200
#: Okabe and Ito's green and orange on a photograph: what is true, and what the map says.
TRUE = (0, 255, 160)
FOUND = (255, 120, 0)


def example_sheet(
    score: Score,
    ranks: Sequence[tuple[str, int]],
    examples: Sequence[Example],
    maps: Sequence[NDArray[np.generic]],
    *,
    across: int,
) -> Image.Image:
    """Draw images with the outline of the truth and the map's box, each beside its map.

    Parameters
    ----------
    score : Score
        What the maps score.
    ranks : sequence of (str, int)
        Of each image to draw: what to call it, and its place in `score`.
    examples : sequence of Example
        These images.
    maps : sequence of ndarray of shape (S, S)
        Their maps.
    across : int
        Images in one row.

    Returns
    -------
    Image
        Two cells an image: truth in green, the box in orange; the map over the gray image.
    """
    cells = [
        _cells(score, row, rank, example, saliency)
        for (rank, row), example, saliency in zip(ranks, examples, maps, strict=True)
    ]
    lines = [cells[start : start + across] for start in range(0, len(cells), across)]
    return sheet([[cell for pair in line for cell in pair] for line in lines], cell=CELL)


def _cells(
    score: Score, row: int, rank: str, example: Example, saliency: NDArray[np.generic]
) -> list[Picture]:
    """Make the two cells of an image."""
    stretched = normalized(saliency)
    box = map_box(stretched)
    image = _in_proportion(example.image, example)
    name = example.path.rpartition("/")[2]
    numbers = f"IoU {score.overlap[row]:.2f}, energy {score.energy[row]:.0%}"
    outlined = image.copy()
    mask = _in_proportion(example.objects.mask.astype(np.uint8) * np.uint8(255), example) > 127
    outlined[mask & ~binary_erosion(mask, iterations=2)] = TRUE
    heat = overlay(_in_proportion(levels(stretched), example).astype(np.float32), image)
    for picture in (outlined, heat):
        _draw(picture, box, len(example.image))
    return [Picture(outlined, f"{rank}: {name}"), Picture(heat, numbers)]


def _in_proportion(square: NDArray[np.uint8], example: Example) -> NDArray[np.uint8]:
    """Undo the squashing, at the size of a cell, so that lines are drawn as they are seen."""
    height, width = example.shape
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))


def _draw(picture: NDArray[np.uint8], boxes: Boxes, size: int) -> None:
    """Draw boxes of a square of some size on a picture, in place."""
    height, width = picture.shape[:2]
    for left, top, right, bottom in boxes.tolist():
        x0, x1 = round(left * width / size), round((right + 1) * width / size) - 1
        y0, y1 = round(top * height / size), round((bottom + 1) * height / size) - 1
        frame = np.zeros((height, width), bool)
        frame[y0 : y1 + 1, x0 : x1 + 1] = True
        frame[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1] = False
        picture[frame] = FOUND
