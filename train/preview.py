"""Show what the network will see: image, mask, pastes, and the very views of epoch 0."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.names import escaped
from dilo.pipeline.preview import mask_picture
from dilo.pipeline.sheets import CELL, Picture, sheet
from dilo.train.augment import augment, denormalise
from dilo.train.copypaste import paste_picture
from dilo.train.crops import crop
from dilo.train.data import Source, Views, collate
from dilo.train.draws import ViewDraw, view_draw
from dilo.train.recipe import Recipe

#: Pastes shown of each image.
PASTES = 3


def view_sheet(source: Source, recipe: Recipe, *, count: int = 8) -> Image.Image:
    """Draw a contact sheet of training views.

    Parameters
    ----------
    source : Source
        Images and masks.
    recipe : Recipe
        Views, paste and seed.
    count : int, default 8
        How many images, spread evenly over the list.

    Returns
    -------
    Image
        A row an image: the image, its mask, three pastes of the whole of it, and both
        views of epoch 0 as the network gets them.
    """
    places = np.linspace(0, len(source.usable) - 1, min(count, len(source.usable)))
    views = Views(source, recipe)
    return sheet([_row(views, int(source.usable[round(place)])) for place in places])


def _row(views: Views, index: int) -> list[Picture]:
    """Make the cells of one image."""
    source, recipe = views.source, views.recipe
    image, index = views.read(index)
    row = [Picture(image, escaped(source.names[index]).rsplit("/", 1)[-1])]
    if source.store is not None:
        mask = source.store[index]
        row.append(mask_picture(mask, image))
        epochs = range(PASTES if source.pasteable[index] else 0)
        row += [_paste(image, mask, recipe, index, epoch) for epoch in epochs]
    batch = collate([views[(0, index)]])
    seen = augment(batch.images, batch.masks, batch.parameters, recipe.views)
    pasted = batch.parameters.paste.tolist()
    for view, pixels in enumerate(denormalise(seen).permute(0, 2, 3, 1).numpy()):
        row.append(Picture(pixels, f"view {view}{', pasted' if pasted[view] else ''}"))
    return row


def _paste(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], recipe: Recipe, index: int, epoch: int
) -> Picture:
    """Paste the whole image as one epoch would, were it to paste and do nothing else."""
    height, width = image.shape[:2]
    drawn = view_draw(
        recipe.views,
        recipe.paste,
        seed=recipe.seed,
        epoch=epoch,
        sample=index,
        view=0,
        height=height,
        width=width,
    )
    draw: ViewDraw = dataclasses.replace(drawn, box=(0, 0, height, width), flip=False, paste=True)
    pixels, alpha = crop(image, mask, draw, CELL)
    square = paste_picture(pixels, alpha, draw.gray_level)
    # The crop is a square; back to the image's proportions for the eye.
    shown = np.asarray(Image.fromarray(square).resize((width, height)))
    blend = f", blurred {draw.blend_sigma:g} px" if draw.blend_sigma else ""
    return Picture(shown, f"gray {draw.gray_level}{blend}")
