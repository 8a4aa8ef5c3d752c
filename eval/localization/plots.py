"""Precision against recall of the pixels of all images: one line a kind of maps."""

from collections.abc import Sequence
from pathlib import Path

from dilo.eval.localization.conventions import Row
from dilo.eval.localization.measures import pixel_ap, pixel_curve
from dilo.eval.saliency.plots import blank, finish, line


def pixel_plot(rows: Sequence[Row], path: Path) -> None:
    """Draw pixel precision against pixel recall, with a dot where their F is largest.

    Parameters
    ----------
    rows : sequence of Row
        The kinds of maps.
    path : Path
        The PNG to write.
    """
    figure, axes = blank("Recall of pixels", "Precision of pixels", len(rows))
    axes.set_xlim(0, 1)
    for place, row in enumerate(rows):
        precision, recall = pixel_curve(row.score.pixels)
        shown = slice(int((recall > 0).argmax()), None)  # nothing is found before
        up, across = precision[shown], recall[shown]
        line(axes, across, up, int((up * across / (up + across)).argmax()), place)
    finish(figure, [(row.name, pixel_ap(row.score.pixels)) for row in rows], "PxAP", path)
