"""What classifiers look at, as a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.attribution.heatmaps import heat, overlay
from dilo.eval.attribution.maps import Attribution
from dilo.eval.common.panels import CELL, Block, Panel, panel_figure
from dilo.eval.features.folders import LabelledFolder, class_of
from dilo.eval.gradients.viewer import Seen
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import BLANK
from dilo.train.data.evaluation import center_crop

#: What the maps are called.
TITLES: dict[Attribution, str] = {"gradient": "gradient", "cam": "CAM"}


def gradient_figure(
    folder: LabelledFolder, shown: Sequence[int], seen: Mapping[str, Sequence[Seen]]
) -> Image.Image:
    """Draw a row an image: what each classifier looks at in it.

    Parameters
    ----------
    folder : LabelledFolder
        The images.
    shown : sequence of int
        Rows of them.
    seen : mapping of str to sequence of Seen
        By the name of a classifier, what it makes of each; at least one.

    Returns
    -------
    Image
        Gradients as they are, activation maps over the image; where the image's class is
        known, framed in green with a tick where the prediction is right, else in red.
    """
    pictures = {row: picture(folder, row) for row in shown}
    blocks = [image_block("image", folder, shown)]
    for name, images in seen.items():
        rows = [map_panels(maps, pictures[row]) for row, maps in zip(shown, images, strict=True)]
        blocks.append(Block(name, " | ".join(TITLES[method] for method in images[0].maps), rows))
    return panel_figure(blocks)


def picture(folder: LabelledFolder, row: int) -> NDArray[np.uint8]:
    """Cut an image as the network sees it, in the size of a panel.

    Parameters
    ----------
    folder : LabelledFolder
        The images.
    row : int
        Which.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8
        Its evaluation crop; blank where it can be read no more.
    """
    try:
        return center_crop(decode(folder.root / folder.names[row]), CELL).permute(1, 2, 0).numpy()
    except ImageError:
        return BLANK


def image_block(title: str, folder: LabelledFolder, shown: Sequence[int]) -> Block:
    """Make the column of the images that a figure is about.

    Parameters
    ----------
    title : str
        What they are.
    folder : LabelledFolder
        The images.
    shown : sequence of int
        Rows of them.

    Returns
    -------
    Block
        Each with its class and file name.
    """
    rows = [[Panel(picture(folder, row), _caption(folder, row))] for row in shown]
    return Block(title, "", rows)


def map_panels(seen: Seen, image: NDArray[np.uint8] | None) -> list[Panel]:
    """Make the panels of an image's maps.

    Parameters
    ----------
    seen : Seen
        What a classifier makes of the image.
    image : ndarray of shape (S, S, 3), uint8, or None
        The image, which activation maps are laid over.

    Returns
    -------
    list of Panel
        One a method, with the class and its score.
    """
    panels = []
    for method, values in seen.maps.items():
        pixels = heat(values)
        if method == "cam" and image is not None and image.shape[:2] != (1, 1):
            large = np.asarray(
                Image.fromarray(values).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
            )
            pixels = overlay(large, image)
        score = f"score {seen.score:.1f}, {seen.probability:.0%}"
        panels.append(Panel(pixels, (seen.label, score), seen.right))
    return panels


def _caption(folder: LabelledFolder, row: int) -> tuple[str, ...]:
    """Give an image's class, where it has one, and its file's name."""
    file = escaped(folder.names[row].rpartition("/")[2])
    name = class_of(folder, row)
    return (file,) if name is None else (name, file)
