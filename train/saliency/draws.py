"""What chance decides of an image that a network for saliency sees."""

from dataclasses import dataclass

from dilo.pipeline.common.rng import generator
from dilo.train.draws import WINDOW
from dilo.train.saliency.recipe import DataRecipe


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of an image is seen.

    Attributes
    ----------
    side : int
        Side of the square that the whole image is squashed to, in pixels.
    top, left : int
        Where in it the crop begins, in pixels.
    """

    side: int
    top: int
    left: int


def window_draw(data: DataRecipe, *, seed: int, epoch: int, sample: int) -> Window:
    """Draw the part of an image that is seen.

    Parameters
    ----------
    data : DataRecipe
        Size, crop and range of the zoom.
    seed, epoch, sample : int
        The key: the draw is a function of these three, each in [0, 2**64).

    Returns
    -------
    Window
        With `scale` (1, 1) as BASNet's authors draw it: size 256 and crop 224 begin at 0 to 31.
    """
    zoom, top, left = generator(seed, WINDOW, 0, sample, epoch).random(3).tolist()
    low, high = data.scale
    side = max(data.crop, round(data.size / (low + (high - low) * zoom)))
    room = side - data.crop
    return Window(side, int(room * top), int(room * left))
