"""Images of a folder as figures show them."""

import numpy as np
from numpy.typing import NDArray

from dilo.eval.common.panels import PIXELS
from dilo.eval.features.folders import LabelledFolder
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.sheets import BLANK
from dilo.train.data.evaluation import center_crop


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
        return center_crop(folder.decode(row), PIXELS).permute(1, 2, 0).numpy()
    except ImageError:
        return BLANK
