"""Boxes on a picture, each with a word."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dilo.pipeline.images.sheets import SMALL, WHITE, font

#: Okabe and Ito's green and orange, light enough for photographs: what is true, what was found.
TRUE, FOUND = (0, 255, 160), (255, 120, 0)
#: Width of the lines, in pixels.
LINE = 2


def draw_boxes(
    picture: Image.Image,
    boxes: NDArray[np.floating],
    colour: tuple[int, int, int],
    words: Sequence[str] = (),
) -> None:
    """Draw boxes on a picture, in place.

    Parameters
    ----------
    picture : Image
        RGB.
    boxes : ndarray of shape (N, 4), floating
        x0, y0, x1, y1 as shares of the picture's width and height; cut at its edges.
    colour : tuple of int
        Red, green, blue.
    words : sequence of str, optional
        One for each box, to stand above it.
    """
    draw = ImageDraw.Draw(picture)
    sides = np.array([picture.width, picture.height] * 2)
    edges = np.clip((boxes * sides).round(), 0, sides)
    first = np.minimum(edges[:, :2], sides[:2] - 1)
    # The pixel before an edge is the last that belongs to the box.
    places = np.hstack([first, np.maximum(edges[:, 2:] - 1, first)]).tolist()
    for place in places:
        draw.rectangle(place, outline=colour, width=LINE)
    for place, word in zip(places, words, strict=bool(words)):  # on top of all boxes
        _write(draw, place, word, picture.width)


def _write(draw: ImageDraw.ImageDraw, box: Sequence[float], word: str, width: int) -> None:
    """Write a word above a box or, at the picture's edge, in it."""
    _, top, right, bottom = draw.textbbox((0, 0), word, font(SMALL))
    x = max(0, min(box[0], width - right - 3))
    y = box[1] - bottom - 2 if box[1] > bottom + 2 else box[1]
    draw.rectangle((x, y + top - 1, x + right + 3, y + bottom + 1), fill=(0, 0, 0))
    draw.text((x + 2, y), word, fill=WHITE, font=font(SMALL))
