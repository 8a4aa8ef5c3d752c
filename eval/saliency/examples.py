"""A sheet of a method's best, median and worst masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.saliency.score import Score
from dilo.eval.saliency.sources import Method, PngFolder, paired
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.images.listing import find_images
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.images.sheets import Picture, sheet

#: Examples of each kind, in one row.
EACH = 3


@dataclass(frozen=True, eq=False)
class Photographs:
    """The images that masks are of, to show beside them.

    Attributes
    ----------
    folder : Path
        Where they are.
    files : mapping of str to str
        Relative paths by the key of the ground truth; not every one need have an image.
    """

    folder: Path
    files: Mapping[str, str]


def find_photographs(folder: Path, truths: list[str], *, of: str = "--truth") -> Photographs:
    """Find the images of ground truths, by path or by file name, extension aside.

    Parameters
    ----------
    folder : Path
        The images.
    truths : list of str
        Keys of the ground truths.
    of : str, default "--truth"
        What gave them, for messages.

    Returns
    -------
    Photographs
        Where a PNG and a JPEG have one name, the JPEG: the PNG is likely a mask.

    Raises
    ------
    DiloError
        If there are no images or none pairs.
    """
    names = sorted(find_images(folder), key=lambda name: not name.lower().endswith(".png"))
    by_key = {escaped(name.rpartition(".")[0]): name for name in names}
    pairs = paired(truths, list(by_key), f"--images {folder}", of=of)
    return Photographs(folder, {truth: by_key[key] for truth, key in pairs.items()})


def ranked(score: Score) -> dict[str, list[int]]:
    """Choose the best, median and worst masks by weighted F, which needs no threshold.

    Parameters
    ----------
    score : Score
        What a method scores.

    Returns
    -------
    dict of str to list of int
        Rows of `score`: "best" from the best down, "median" about the middle, "worst"
        from the worst up.
    """
    return chosen(np.argsort(-score.weighted_f, kind="stable").tolist())


def chosen(order: list[int]) -> dict[str, list[int]]:
    """Take the ends and the middle of a ranking.

    Parameters
    ----------
    order : list of int
        Rows from the best down.

    Returns
    -------
    dict of str to list of int
        "best" from the best down, "median" about the middle, "worst" from the worst up.
    """
    count = min(EACH, len(order))
    middle = (len(order) - count) // 2
    return {
        "best": order[:count],
        "median": order[middle : middle + count],
        "worst": order[::-1][:count],
    }


def example_sheet(
    score: Score, method: Method, truth: PngFolder, photographs: Photographs | None
) -> Image.Image:
    """Draw a method's best, median and worst masks beside truth and image.

    Parameters
    ----------
    score : Score
        What the method scores.
    method : Method
        Its masks.
    truth : PngFolder
        The ground truths.
    photographs : Photographs or None
        The images; without them the sheet shows truth and mask alone.

    Returns
    -------
    Image
        Three rows: best, median, worst.
    """
    return sheet(
        [
            [
                picture
                for position, row in enumerate(rows, start=1)
                for picture in _example(
                    score, row, f"{kind} {position}: ", method, truth, photographs
                )
            ]
            for kind, rows in ranked(score).items()
        ]
    )


def _example(
    score: Score,
    row: int,
    rank: str,
    method: Method,
    truth: PngFolder,
    photographs: Photographs | None,
) -> list[Picture]:
    """Make the cells of one image; the first carries its rank and name, the last its score."""
    image = score.images[row]
    name = rank + image.rpartition("/")[2]
    expected = truth.read_truth(image)
    white = expected.astype(np.uint8) * np.uint8(255)
    mask = stretch_mask(method.source.read(method.pairs[image]), expected.shape)
    numbers = f"weighted F {score.weighted_f[row]:.3f}, MAE {score.mae[row]:.3f}"
    if photographs is None:
        return [Picture(white, name), Picture(mask, numbers)]
    return [
        Picture(_photograph(photographs, image), name),
        Picture(white, "ground truth"),
        Picture(mask, numbers),
    ]


def _photograph(photographs: Photographs, image: str) -> NDArray[np.uint8]:
    """Read an image, or a blank where there is none: the sheet is about the masks."""
    blank = np.full((1, 1), 230, np.uint8)
    if image not in photographs.files:
        return blank
    try:
        return decode(photographs.folder / photographs.files[image])
    except ImageError:
        return blank
