"""The minimum cut: no labelling costs less, and it is the cut that OpenCV's GrabCut makes."""

import itertools

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dilo.pipeline.saliency.cuts.colormodels import NO_RECTANGLE, color_models, likelihood
from dilo.pipeline.saliency.cuts.mincut import minimum_cut, neighbor_weights

STEPS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def _weights_literally(image, open_pixels, strength):
    height, width = open_pixels.shape
    colors = image.astype(float)

    def links(r, c):
        for d, (down, right) in enumerate(STEPS):
            y, x = r + down, c + right
            if 0 <= y < height and 0 <= x < width:
                yield d, np.square(colors[r, c] - colors[y, x]).sum(), np.hypot(down, right)

    everywhere = list(np.ndindex(height, width))
    squared = [one for pixel in everywhere for _, one, _ in links(*pixel)]
    mean = np.mean(squared) if any(squared) else np.inf
    weights = np.zeros((open_pixels.sum(), 8))
    for node, pixel in enumerate(p for p in everywhere if open_pixels[p]):
        for d, one, length in links(*pixel):
            weights[node, d] = strength * np.exp(-one / (2 * mean)) / length
    return weights


def _cost(foreground, open_pixels, preference, weights):
    """Add up what a labelling of the whole image costs, each link once."""
    cost = preference[~foreground[open_pixels]].sum()
    for r, c in np.ndindex(open_pixels.shape):
        for d in range(4, 8):
            y, x = r + STEPS[d][0], c + STEPS[d][1]
            if y < len(foreground) and 0 <= x < foreground.shape[1]:
                cost += weights[r, c, d] * (foreground[r, c] != foreground[y, x])
    return cost


@pytest.mark.parametrize("seed", range(3))
def test_links_weigh_what_the_paper_says(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    open_pixels = rng.random((6, 5)) < 0.6
    expected = _weights_literally(image, open_pixels, 50.0)
    assert_allclose(neighbor_weights(image, open_pixels, 50.0), expected, rtol=1e-12)


def test_all_links_of_one_color_weigh_the_same():
    weights = neighbor_weights(np.zeros((3, 3, 3), np.uint8), np.ones((3, 3), bool), 2.0)
    diagonal = 2 / np.sqrt(2)
    assert_allclose(weights[4], [diagonal, 2, diagonal, 2, 2, diagonal, 2, diagonal])


@pytest.mark.parametrize("seed", range(20))
def test_no_other_labelling_costs_as_little(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    open_pixels = rng.permutation(np.arange(16) < 7).reshape(4, 4)
    foreground = rng.random((4, 4)) < 0.5
    preference = rng.normal(0, 3, 7)
    strength = rng.choice([0.5, 2.0, 8.0])
    cut = minimum_cut(
        foreground, open_pixels, preference, neighbor_weights(image, open_pixels, strength)
    )
    assert_array_equal(cut[~open_pixels], foreground[~open_pixels])
    weights = _weights_literally(image, np.ones((4, 4), bool), strength).reshape(4, 4, 8)
    costs = []
    for sides in itertools.product([False, True], repeat=7):
        labelling = foreground.copy()
        labelling[open_pixels] = sides
        costs.append(_cost(labelling, open_pixels, preference, weights))
    assert _cost(cut, open_pixels, preference, weights) <= min(costs) + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_the_cut_is_the_one_of_opencv(seed):
    rng = np.random.default_rng(seed)
    blob = cv2.GaussianBlur(rng.random((64, 64)), (0, 0), 6)
    blob = (blob - blob.min()) / np.ptp(blob)
    above, unsure = blob > 0.5, np.abs(blob - 0.5) < 0.3
    noise = rng.normal(0, 40, (64, 64, 3))
    image = np.clip(np.where(blob[..., None] > 0.55, 160, 90) + noise, 0, 255).astype(np.uint8)
    models = color_models(image, above, 0)

    seeds = np.where(above, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    seeds[unsure] += 2  # probably foreground, probably background
    mine = [np.log(likelihood(image[unsure].astype(float), model)) for model in models]
    cv2.grabCut(image, seeds, NO_RECTANGLE, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    weights = neighbor_weights(image, unsure, 50.0)
    cut = minimum_cut(above, unsure, mine[1] - mine[0], weights)
    assert unsure.sum() > 500
    assert (cut != above).sum() > 0
    assert_array_equal(cut, seeds % 2 == 1)


def test_with_nothing_open_nothing_changes():
    foreground = np.eye(5, dtype=bool)
    closed = np.zeros((5, 5), bool)
    cut = minimum_cut(foreground, closed, np.empty(0), np.empty((0, 8)))
    assert_array_equal(cut, foreground)
