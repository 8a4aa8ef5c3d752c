"""What classifiers look at, as a figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.attribution.heatmaps import heat, overlay
from dilo.eval.attribution.maps import Attribution
from dilo.eval.common.panels import Block, Panel, panel_figure
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.pictures import picture
from dilo.eval.gradients.explainer import Explanation
from dilo.pipeline.images.names import short_names

if TYPE_CHECKING:  # an extra: who draws nothing needs none of it
    from matplotlib.figure import Figure

#: What the maps are called.
TITLES: dict[Attribution, str] = {"gradient": "gradient", "cam": "CAM"}


def gradient_figure(
    folder: LabelledFolder, shown: Sequence[int], explanations: Mapping[str, Sequence[Explanation]]
) -> "Figure":
    """Draw a row an image: what each classifier looks at in it."""
    pictures = {row: picture(folder, row) for row in shown}
    blocks = [image_block("image", folder, shown)]
    for name, images in explanations.items():
        rows = [map_panels(maps, pictures[row]) for row, maps in zip(shown, images, strict=True)]
        blocks.append(Block(name, " | ".join(TITLES[method] for method in images[0].maps), rows))
    return panel_figure(blocks)


def image_block(title: str, folder: LabelledFolder, shown: Sequence[int]) -> Block:
    """Make the column of the images that a figure is about."""
    files = short_names(folder.names[row] for row in shown)
    rows = []
    for row in shown:
        file, name = files[folder.names[row]], folder.class_name(row)
        rows.append([Panel(picture(folder, row), (file,) if name is None else (name, file))])
    return Block(title, "", rows)


def map_panels(explanation: Explanation, image: NDArray[np.uint8] | None) -> list[Panel]:
    """Make the panels of an image's maps.

    Parameters
    ----------
    explanation : Explanation
        What a classifier makes of the image.
    image : ndarray of shape (S, S, 3), uint8, or None
        The image, which activation maps are laid over.

    Returns
    -------
    list of Panel
        One a method, with the class and its score.
    """
    panels = []
    for method, values in explanation.maps.items():
        pixels = heat(values)
        if method == "cam" and image is not None and image.shape[:2] != (1, 1):
            large = np.asarray(
                Image.fromarray(values).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
            )
            pixels = overlay(large, image)
        score = f"score {explanation.score:.1f}, {explanation.probability:.0%}"
        panels.append(Panel(pixels, (explanation.label, score), explanation.right))
    return panels
