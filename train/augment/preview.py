"""Show what the network will see: the very views of epoch 0, and pastes on every background."""

import dataclasses
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import Picture, sheet
from dilo.pipeline.masks.preview import mask_picture
from dilo.train.augment.backgrounds import BackgroundBank, Stores
from dilo.train.augment.color import denormalise
from dilo.train.augment.paste import paste_image
from dilo.train.augment.views import augment
from dilo.train.data.crop import mask_to_alpha
from dilo.train.data.dataset import ViewDataset, collate
from dilo.train.data.draws import GRAY, KINDS, PasteDraw, PasteUniforms, paste_draw
from dilo.train.data.images import ImageSet
from dilo.train.recipes.recipe import BackgroundsRecipe, Recipe

CPU = torch.device("cpu")
#: Samples beside each other in the sheet of views.
ACROSS = 2
#: The blends that the sheet of pastes shows, and the words for them.
BLENDS: dict[Literal["none", "gaussian"], str] = {"none": "no blend", "gaussian": "gaussian"}


def view_sheet(source: ImageSet, recipe: Recipe, stores: Stores, *, count: int = 8) -> Image.Image:
    """Draw a contact sheet of training views."""
    # Shown as pictures, whatever space the network sees them in.
    recipe = dataclasses.replace(recipe, views=dataclasses.replace(recipe.views, space="rgb"))
    views = ViewDataset(source, recipe)
    bank = BackgroundBank(recipe.paste, stores, CPU, seed=recipe.seed, side=recipe.views.size)
    bank.load_epoch(0)
    samples = [_view_cells(views, bank, index) for index in _spread(source.indices, count)]
    rows = [samples[i : i + ACROSS] for i in range(0, len(samples), ACROSS)]
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
        cells.append(mask_picture(views.source.mask(index), image))
    return image, cells


def _view_cells(views: ViewDataset, bank: BackgroundBank, index: int) -> list[Picture]:
    """Make the cells of one sample: image, mask, both views."""
    cells = _image_cells(views, index)[1]
    sample = views[(0, index)]
    batch = collate([sample])
    augmented = augment(batch.images, batch.masks, batch.parameters, views.recipe.views, bank)
    pixels = denormalise(augmented).permute(0, 2, 3, 1).numpy()
    for number, (view, draw) in enumerate(zip(pixels, sample.draws, strict=True)):
        on = f", on {_background_name(draw.paste)}" if draw.paste else ""
        cells.append(Picture(view, f"view {number}{on}"))
    return cells


def _paste_cells(views: ViewDataset, bank: BackgroundBank, index: int) -> list[Picture]:
    """Make the cells of one image: image, mask, the pastes of the whole of it."""
    image, cells = _image_cells(views, index)
    if views.source.store is None:
        return cells
    recipe = views.recipe
    alpha = mask_to_alpha(views.source.mask(index), recipe.paste)
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


def _background_name(draw: PasteDraw) -> str:
    """Name the background of a paste."""
    return f"gray {draw.gray_level}" if draw.kind == GRAY else KINDS[draw.kind]
