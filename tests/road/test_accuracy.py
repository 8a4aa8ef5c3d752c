"""Masks of real photographs against what people drew: as good as the released codes' or better."""

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.graphs import ECSSD

from dilo.eval.saliency.measures import normalised
from dilo.pipeline.images import decode_reduced, read_file
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.saliency.measures import counts, f_measure, precision, recall

needs_ecssd = pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside it")


@functools.cache
def photographs(side: int) -> list[NDArray[np.uint8]]:
    """Read the photographs, in the order of their names, as a recipe of this side takes them."""
    paths = sorted((ECSSD / "images").glob("*.jpg"))
    return [decode_reduced(read_file(path), side)[0] for path in paths]


@functools.cache
def truths() -> list[NDArray[np.bool_]]:
    """Read what people drew on them."""
    masks = []
    for path in sorted((ECSSD / "images").glob("*.jpg")):
        with Image.open(ECSSD / "masks" / f"{path.stem}.png") as opened:
            masks.append(np.asarray(opened.convert("L")) > 128)
    return masks


@functools.cache
def scored(recipe: MaskRecipe) -> tuple[float, float]:
    """Maximum F of mean precision and recall, and mean absolute error, of masks of 224 px."""
    curves, errors = [], []
    for photograph, truth in zip(photographs(recipe.side), truths(), strict=True):
        mask = recipe(photograph, 224)
        saliency = normalised(stretch_mask(mask, truth.shape))
        counted = counts(saliency, truth)
        curves.append((precision(counted), recall(counted)))
        errors.append(np.abs(saliency - truth).mean())
    assert len(errors) == 200
    mean = np.mean(curves, axis=0)
    return float(f_measure(mean[0], mean[1]).max()), float(np.mean(errors))


@needs_ecssd
@pytest.mark.parametrize(
    ("method", "refine", "max_f", "mae"),
    [
        # What the maps of the authors' code score on these images.
        ("rbd", None, 0.719, 0.169),
        ("gs", None, 0.649, 0.208),
        ("mc", None, 0.732, 0.204),
        # What the geometric mean of these maps and a plain GrabCut of it do, nearly.
        ("consensus", None, 0.745, 0.171),
        ("consensus", "grabcut", 0.76, 0.15),
    ],
)
def test_masks_are_as_good_as_those_of_the_released_codes(method, refine, max_f, mae):
    found = scored(MaskRecipe.create(method, refine))
    assert found[0] >= max_f
    assert found[1] <= mae


@needs_ecssd
@pytest.mark.parametrize("method", ["rbd", "gs", "mc", "consensus"])
def test_compiled_superpixels_are_as_good_as_scikit_image_s(method):
    ours = scored(MaskRecipe.create(method))
    reference = scored(MaskRecipe.create(method, None, {"segmentation": "scikit-image"}))
    assert ours[0] >= reference[0] - 0.003
    assert ours[1] <= reference[1] + 0.003
