"""Show what the network will see: the very views of an epoch, and pastes on every background."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import Picture, sheet, text_cell
from dilo.pipeline.masks.preview import mask_picture
from dilo.train.augment.backgrounds import BackgroundBank, Stores
from dilo.train.augment.color import denormalise
from dilo.train.augment.paste import paste_image
from dilo.train.augment.swaps import swap_foregrounds
from dilo.train.augment.views import augment
from dilo.train.data.crop import mask_to_alpha
from dilo.train.data.dataset import CropSample, SampleSpec, ViewDataset, collate
from dilo.train.data.draws import GRAY, KINDS, PasteDraw, PasteUniforms, paste_draw
from dilo.train.data.images import ImageSet
from dilo.train.recipes.recipe import BackgroundsRecipe, Recipe

CPU = torch.device("cpu")
#: Samples beside each other in the sheet of views.
ACROSS = 2
#: The blends that the sheet of pastes shows, and the words for them.
BLENDS: dict[Literal["none", "gaussian"], str] = {"none": "no blend", "gaussian": "gaussian"}


def view_sheet(source: ImageSet, recipe: Recipe, stores: Stores, *, count: int = 8) -> Image.Image:
    """Draw a contact sheet of the training views of the first epoch with pastes."""
    # Shown as pictures, whatever space the network sees them in.
    recipe = dataclasses.replace(recipe, views=dataclasses.replace(recipe.views, space="rgb"))
    views = ViewDataset(source, recipe, SampleSpec(masks=recipe.moco.swap_negatives))
    bank = BackgroundBank(recipe.paste, stores, CPU, seed=recipe.seed, side=recipe.views.size)
    bank.load_epoch(recipe.paste.from_epoch)
    indices = _spread(source.indices, count)
    samples = [views[(recipe.paste.from_epoch, index)] for index in indices]
    columns = [_view_cells(samples, recipe, bank)]
    if recipe.moco.swap_negatives:
        columns.append(_swap_cells(samples, views, bank))
    cells = [
        [*_image_cells(views, index)[1], *itertools.chain(*parts)]
        for index, *parts in zip(indices, *columns, strict=True)
    ]
    rows = [cells[i : i + ACROSS] for i in range(0, len(cells), ACROSS)]
    return sheet([[picture for sample in row for picture in sample] for row in rows])


def paste_sheet(source: ImageSet, recipe: Recipe, stores: Stores, *, count: int = 8) -> Image.Image:
    """Draw the paper's figure 4: foregrounds on each kind of background, by each blend."""
    pasteable = np.flatnonzero(source.has_mask)
    if not len(pasteable):
        raise DiloError("--pastes needs images that can be pasted, got none with a mask")
    kinds = BackgroundsRecipe(**{word: float(kind in stores) for kind, word in enumerate(KINDS)})
    paste = dataclasses.replace(recipe.paste, backgrounds=kinds)
    bank = BackgroundBank(paste, stores, CPU, seed=recipe.seed, side=recipe.views.size)
    bank.load_epoch(0)
    views = ViewDataset(source, recipe)
    return sheet([_paste_cells(views, bank, index) for index in _spread(pasteable, count)])


def _spread(indices: NDArray[np.int64], count: int) -> list[int]:
    """Choose some of the images, evenly."""
    positions = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [int(indices[round(position)]) for position in positions]


def _image_cells(views: ViewDataset, index: int) -> tuple[NDArray[np.uint8], list[Picture]]:
    """Read an image, and make the cells of it and its mask."""
    image, row = views.read(index)
    index = int(views.source.indices[row])
    cells = [Picture(image, escaped(views.source.names[index]).rsplit("/", 1)[-1])]
    if views.source.store is not None:
        cells.append(mask_picture(views.source.store[index], image))
    return image, cells


def _view_cells(
    samples: Sequence[CropSample], recipe: Recipe, bank: BackgroundBank
) -> list[list[Picture]]:
    """Make the cells of the views of each sample."""
    batch = collate(samples)
    pixels = _pixels(augment(batch.images, batch.masks, batch.parameters, recipe.views, bank))
    cells: list[list[Picture]] = []
    for place, sample in enumerate(samples):
        views = enumerate(zip(pixels[place :: len(samples)], sample.draws, strict=True))
        cells.append(
            [
                Picture(view, f"view {number}" + _on_background(draw.paste))
                for number, (view, draw) in views
            ]
        )
    return cells


def _swap_cells(
    samples: Sequence[CropSample], views: ViewDataset, bank: BackgroundBank
) -> list[list[Picture]]:
    """Make the cell of the matched negative of each sample, in which the next gives its object."""
    batch, count = collate(samples), len(samples)
    swaps = swap_foregrounds(
        batch.images[:count],
        batch.masks[:count],
        batch.parameters.rows(slice(count)),
        views.recipe.views,
        bank,
        has_mask=torch.from_numpy(views.source.has_mask[views.source.indices])[batch.samples],
        min_coverage=views.recipe.paste.min_coverage,
        group=count,
    )
    return [
        [Picture(view, "swap for view 0") if present else Picture(text_cell("no swap"))]
        for view, present in zip(_pixels(swaps.views), swaps.present.tolist(), strict=True)
    ]


def _pixels(views: Tensor) -> NDArray[np.uint8]:
    """Turn what a network sees into pictures."""
    pixels: NDArray[np.uint8] = denormalise(views).permute(0, 2, 3, 1).numpy()
    return pixels


def _paste_cells(views: ViewDataset, bank: BackgroundBank, index: int) -> list[Picture]:
    """Make the cells of one image: image, mask, the pastes of the whole of it."""
    image, cells = _image_cells(views, index)
    if views.source.store is None:
        return cells
    recipe = views.recipe
    alpha = mask_to_alpha(views.source.store[index], recipe.paste)
    pixels = torch.tensor(image).permute(2, 0, 1) / 255
    uniform = PasteUniforms(0.0, *np.random.default_rng((recipe.seed, index)).random(6).tolist())
    for kind in (GRAY, *bank.counts):
        for blend, label in BLENDS.items():
            draw = _image_paste(recipe, uniform, kind, blend, image.shape[:2])
            picture = None if kind == GRAY else bank.image(draw)
            pasted = paste_image(pixels, alpha, draw, picture)
            cell = (255 * pasted).round().to(torch.uint8).permute(1, 2, 0).numpy()
            cells.append(Picture(cell, f"{_background_name(draw)}, {label}"))
    return cells


def _image_paste(
    recipe: Recipe,
    uniform: PasteUniforms,
    kind: int,
    blend: Literal["none", "gaussian"],
    shape: tuple[int, ...],
) -> PasteDraw:
    """Draw the paste of a whole image on one kind of background, by one blend."""
    only = BackgroundsRecipe(**{word: float(k == kind) for k, word in enumerate(KINDS)})
    paste = dataclasses.replace(recipe.paste, probability=1.0, blend=blend, backgrounds=only)
    height, width = shape[:2]
    draw = paste_draw(
        paste,
        uniform,
        shape=(height, width),
        box=(0, 0, height, width),
        flip=False,
        side=recipe.views.size,
    )
    return cast(PasteDraw, draw)  # for it is certain to be pasted


def _on_background(paste: PasteDraw | None) -> str:
    """Say what a view is pasted on, if it is."""
    return f", on {_background_name(paste)}" if paste else ""


def _background_name(draw: PasteDraw) -> str:
    """Name the background of a paste."""
    return f"gray {draw.gray_level}" if draw.kind == GRAY else KINDS[draw.kind]
