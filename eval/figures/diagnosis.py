"""Figures that diagnose: queries with their neighbours, images with their maps."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.attribution import Attribution
from dilo.eval.figures.comparison import Comparison, class_of
from dilo.eval.figures.gradients import Seen
from dilo.eval.figures.heatmaps import heat, overlay
from dilo.eval.figures.neighbors import Neighbors
from dilo.eval.figures.panels import CELL, Block, Panel, panel_figure
from dilo.eval.folders import LabelledFolder
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import BLANK
from dilo.train.data.evaluation import center_crop

#: What the maps are called.
TITLES: dict[Attribution, str] = {"gradient": "gradient", "cam": "CAM"}


def neighbor_figure(
    comparison: Comparison, shown: Sequence[int], seen: Mapping[str, Sequence[Seen]]
) -> Image.Image:
    """Draw the paper's figure 2: a row a query, its neighbours by each checkpoint.

    Parameters
    ----------
    comparison : Comparison
        What checkpoints found.
    shown : sequence of int
        Rows of the queries.
    seen : mapping of str to sequence of Seen
        By the name of a checkpoint, maps of the shown queries; of none, of some or of all.

    Returns
    -------
    Image
        Neighbours of the query's class in green with a tick, others in red with a cross;
        without classes, neither. Maps likewise, by whether the classifier is right.
    """
    blocks = [image_block("query", comparison.queries, shown)]
    for one in comparison.found:
        rows = [_neighbor_panels(comparison, one, row) for row in shown]
        heads = [_head(comparison, one, row) for row in shown] if comparison.bank.classes else []
        blocks.append(Block(one.name, _note(comparison, one), rows, heads))
        if one.name in seen:
            blocks.append(
                Block("gradient", one.name, [map_panels(maps, None) for maps in seen[one.name]])
            )
    return panel_figure(blocks)


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


def _neighbor_panels(comparison: Comparison, found: Neighbors, row: int) -> list[Panel]:
    """Make the panels of a query's neighbours."""
    bank, panels = comparison.bank, []
    for i in range(comparison.k):
        neighbor = int(found.rows[row, i])
        similarity = f"similarity {float(found.similarities[row, i]):.2f}"
        mark = bool(found.same[row, i]) if comparison.known else None
        panels.append(
            Panel(picture(bank, neighbor), (_caption(bank, neighbor)[0], similarity), mark)
        )
    return panels


def _caption(folder: LabelledFolder, row: int) -> tuple[str, ...]:
    """Give an image's class, where it has one, and its file's name."""
    file = escaped(folder.names[row].rpartition("/")[2])
    name = class_of(folder, row)
    return (file,) if name is None else (name, file)


def _head(comparison: Comparison, found: Neighbors, row: int) -> str:
    """Say what the neighbours vote for."""
    vote = f"vote: {comparison.bank.classes[int(found.votes[row])]}"
    if not comparison.known:
        return vote
    return f"{vote}, {'right' if found.right[row] else 'wrong'}"


def _note(comparison: Comparison, found: Neighbors) -> str:
    """Say how good the neighbours of all queries are."""
    step = "" if found.encoder.step is None else f"step {found.encoder.step}, "
    size = f"{step}{found.encoder.size} px"
    if not comparison.known:
        return size
    return (
        f"{size}\nof all {len(comparison.queries.names)} queries: "
        f"precision@{comparison.k} {found.precision(comparison.k):.1f} %, "
        f"right by the vote of {found.voters} {found.accuracy():.1f} %"
    )
