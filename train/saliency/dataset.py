"""What a network for saliency learns from: crops of images and masks, and batches of them."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import normalise
from dilo.train.augment.views import augment
from dilo.train.data.crop import mask_to_alpha
from dilo.train.data.dataset import CropBatch, CropSample
from dilo.train.data.draws import ViewDraw, view_draw, window_draw
from dilo.train.data.images import first_readable
from dilo.train.data.resize import blur
from dilo.train.recipes.recipe import PasteRecipe
from dilo.train.recipes.saliency_recipe import DataRecipe, SaliencyRecipe
from dilo.train.saliency.pairs import ImageMaskPairs, squash_image

#: A mask of less than this share of its crop is no foreground.
MIN_FOREGROUND: Final = 1e-3
#: Stands for the maximum of a black image.
TINY: Final = 1e-6


class CropDataset(Dataset[CropSample]):
    """Samples of one view by (epoch, position in the list); nothing in one depends on a worker.

    The mask of a sample is what is to be learnt: where it is pasted, the alpha.

    Parameters
    ----------
    pairs : ImageMaskPairs
        Images and masks.
    recipe : SaliencyRecipe
        Data and seed.
    """

    def __init__(self, pairs: ImageMaskPairs, recipe: SaliencyRecipe) -> None:
        self._pairs, self._recipe = pairs, recipe
        self._views = recipe.data.views()

    def __getitem__(self, key: tuple[int, int]) -> CropSample:
        """Read an image and its mask, and cut the same crop of both."""
        epoch, position = key
        source, data, seed = self._pairs.source, self._recipe.data, self._recipe.seed
        (image, mask), row = first_readable(source, position, self._pairs.read)
        window = window_draw(data, seed=seed, epoch=epoch, sample=position)
        draw = view_draw(
            self._views,
            self._recipe.paste,
            seed=seed,
            epoch=epoch,
            sample=position,
            view=0,
            height=data.crop,
            width=data.crop,
        )
        rows = slice(window.top, window.top + data.crop)
        columns = slice(window.left, window.left + data.crop)
        crop = squash_image(image, window.side)[rows, columns]
        target = self._pairs.squashed_mask(mask, window.side)[rows, columns]
        if draw.flip:
            crop, target = crop[:, ::-1], target[:, ::-1]
        replaced = int(int(source.indices[row]) != position)
        alpha = _alpha(target, draw, self._recipe.paste)
        if alpha is None:
            draw = dataclasses.replace(draw, paste=None)
        skipped = int(alpha is None)
        mask = target if alpha is None else alpha
        return CropSample([crop], [mask], [draw], row, -1, skipped, replaced)


def _alpha(
    mask: NDArray[np.uint8], draw: ViewDraw, recipe: PasteRecipe
) -> NDArray[np.uint8] | None:
    """Return the target of a crop: if it is pasted, the alpha; None if its mask is too small."""
    if draw.paste is None:
        return mask
    if mask.mean() < 255 * max(recipe.min_coverage, MIN_FOREGROUND):
        return None
    alpha, sigma = mask_to_alpha(mask, recipe), draw.paste.blend_sigma
    return blur(alpha, (sigma, sigma)) if sigma > 0 else alpha


@dataclass(frozen=True, eq=False)
class SaliencyBatch:
    """A batch, or a part of one, on the device."""

    #: Standardised.
    images: Tensor
    #: In [0, 1].
    truth: Tensor
    #: Optimiser steps taken before this one.
    step: int = 0
    #: The same in epochs.
    epochs: float = 0.0


def prepare_batch(
    batch: CropBatch,
    data: DataRecipe,
    bank: BackgroundBank | None = None,
    *,
    soft: bool,
    step: int,
    epochs: float,
) -> SaliencyBatch:
    """Turn a batch that lies on the device into standardised images and their targets."""
    images = augment(batch.images, batch.masks, batch.parameters, data.views(), bank)
    truth = batch.masks / 255
    if not soft:
        truth = truth / truth.amax((1, 2, 3), keepdim=True).clamp(min=TINY)
    return SaliencyBatch(standardise(images), truth, step, epochs)


def standardise(images: Tensor) -> Tensor:
    """Divide each image by its own maximum, and standardise it, as BASNet's authors do."""
    peaks = images.amax((1, 2, 3), keepdim=True).clamp(min=TINY)
    return normalise(images / peaks)
