"""The normalised cut: against a literal reading of the published code, and by what must hold."""

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy import ndimage
from support.gpu import FakeGpu

from dilo.eval.tokencut.alpha import alpha_mask
from dilo.eval.tokencut.cut import affinity, normalized_cut, oriented, second_eigenvector
from dilo.eval.tokencut.maskmethods import RECIPES, TokenCutParameters

WEIGHTED = TokenCutParameters()
PUBLISHED = TokenCutParameters(**RECIPES["published"])
both = pytest.mark.parametrize("parameters", [WEIGHTED, PUBLISHED], ids=["weighted", "published"])


def features_of(is_object, seed=0, noise=0.1, width=64):
    """Draw a direction for the cells of an object and one for all others, and noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((2, width))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cells = directions[is_object.astype(int)]
    return torch.from_numpy(cells + noise * rng.standard_normal(cells.shape))


def rectangle(rows=slice(4, 10), columns=slice(6, 11), side=16):
    grid = np.zeros((side, side), bool)
    grid[rows, columns] = True
    return grid


def masks_of(features, parameters):
    cuts = normalized_cut(features, parameters).numpy()
    return np.stack([alpha_mask(cut, parameters) for cut in cuts])


def mask_of(features, parameters):
    return masks_of(features[None], parameters)[0]


def literal_reading(features, tau=0.2, eps=1e-5):
    """Do as TokenCut's code does; and say how far the second eigenvalue is from the third."""
    height, width = features.shape[:2]
    cells = features.reshape(height * width, -1).numpy()
    cells = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    graph = np.where(cells @ cells.T > tau, 1.0, eps)
    degrees = np.diag(graph.sum(1))
    values, vectors = scipy.linalg.eigh(degrees - graph, degrees, subset_by_index=[1, 2])
    second = vectors[:, 0]
    side = second > second.mean()
    seed = np.abs(second).argmax()
    if not side[seed]:
        side = ~side
    parts, _ = ndimage.label(side.reshape(height, width))
    return parts == parts.flat[seed], values[1] - values[0]


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.15, 0.2])
@both
def test_an_object_of_another_direction_is_cut_out_whatever_the_noise(parameters, noise):
    expected = rectangle()
    mask = mask_of(features_of(expected, noise=noise), parameters)
    np.testing.assert_array_equal(mask > 0.5, expected)


def test_as_published_is_the_literal_reading_to_the_last_cell():
    rng = np.random.default_rng(7)
    compared = 0
    for side in (6, 7, 9, 10, 12):
        cells = rng.standard_normal((40, side, side, 24))
        cells[::2] = ndimage.gaussian_filter(cells[::2], (0, 1.5, 1.5, 0))  # smooth, as images are
        features = torch.from_numpy(cells)
        for one, mask in zip(features, masks_of(features, PUBLISHED), strict=True):
            expected, gap = literal_reading(one)
            if gap > 1e-4:
                compared += 1
                np.testing.assert_array_equal(mask, expected)
    assert compared > 150


@pytest.mark.parametrize("graph", ["weighted", "binary"])
def test_the_eigenvector_is_scipys(graph):
    rng = np.random.default_rng(1)
    cells = torch.from_numpy(rng.standard_normal((3, 120, 16)))
    affinities = affinity(cells, TokenCutParameters(graph=graph, eps=1e-5))
    found = second_eigenvector(affinities, 256)
    for matrix, vector in zip(affinities.numpy(), found.numpy(), strict=True):
        degrees = np.diag(matrix.sum(1))
        _, expected = scipy.linalg.eigh(degrees - matrix, degrees, subset_by_index=[1, 1])
        cosine = vector @ expected[:, 0] / np.linalg.norm(vector) / np.linalg.norm(expected)
        assert abs(cosine) > 1 - 1e-12
        assert abs(vector @ degrees @ np.ones(len(vector))) < 1e-9


def test_edges_are_weighted_by_a_power_of_the_cosine_or_are_one():
    cells = torch.tensor([[[2.0, 0], [3, 3], [0, -1], [0, 0]]]).double()
    weighted = affinity(cells, TokenCutParameters(power=2, eps=1e-3))[0]
    half, none = 0.5 + 1e-3, 1e-3
    expected = [[1 + none, half, none, none], [half, 1 + none, none, none]]
    torch.testing.assert_close(weighted[:2], torch.tensor(expected, dtype=torch.double))
    binary = affinity(cells, TokenCutParameters(graph="binary", tau=0.2, eps=1e-5))[0]
    expected = [[1, 1, 1e-5, 1e-5], [1, 1, 1e-5, 1e-5], [1e-5, 1e-5, 1, 1e-5], [1e-5] * 4]
    torch.testing.assert_close(binary, torch.tensor(expected, dtype=torch.double), rtol=0, atol=0)


@both
def test_what_is_done_to_cells_or_directions_is_done_to_the_mask_and_no_more(parameters):
    is_object = rectangle(side=12) | rectangle(slice(8, 11), slice(1, 4), side=12)
    features = features_of(is_object, noise=0.2)
    cut = normalized_cut(features[None], parameters)[0]
    close = {"rtol": 1e-6, "atol": 1e-9}
    rotation = torch.from_numpy(np.linalg.qr(np.random.default_rng(3).normal(size=(64, 64)))[0])
    scales = torch.from_numpy(np.random.default_rng(4).uniform(0.1, 10, (12, 12, 1)))
    for same in (features @ rotation, features * scales):
        torch.testing.assert_close(normalized_cut(same[None], parameters)[0], cut, **close)
    mirrored = normalized_cut(features.flip(1)[None], parameters)[0]
    torch.testing.assert_close(mirrored, cut.flip(1), **close)
    np.testing.assert_array_equal(
        alpha_mask(mirrored.numpy(), parameters) > 0.5,
        alpha_mask(cut.numpy(), parameters)[:, ::-1] > 0.5,
    )


def test_a_permutation_of_the_cells_permutes_the_eigenvector():
    affinities = affinity(features_of(rectangle()).flatten(0, 1)[None], WEIGHTED)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    permuted = affinities[:, order][:, :, order]
    vector, other = (second_eigenvector(matrix, 256)[0] for matrix in (affinities, permuted))
    if vector[order] @ other < 0:  # the sign is no part of it
        other = -other
    torch.testing.assert_close(other, vector[order], rtol=1e-6, atol=1e-9)


@both
def test_no_cut_hangs_on_the_others_of_its_batch(parameters):
    rng = np.random.default_rng(5)
    easy, hard = features_of(rectangle()), torch.from_numpy(rng.standard_normal((16, 16, 64)))
    flat, broken = torch.ones(16, 16, 64).double(), torch.full((16, 16, 64), torch.nan).double()
    together = normalized_cut(torch.stack([broken, easy, flat, hard]), parameters)
    assert together[0].isnan().all()
    assert not together[2].any()
    for features, cut in ((easy, together[1]), (hard, together[3])):
        alone = normalized_cut(features[None], parameters)[0]
        torch.testing.assert_close(cut, alone, rtol=1e-9, atol=1e-12)


def test_on_a_gpu_the_cpu_waits_once_for_each_look_at_what_is_left():
    with FakeGpu() as gpu:
        features = gpu.put(torch.empty(4, 6, 6, 16))
        cuts = normalized_cut(features, TokenCutParameters(steps=33))
        assert (cuts.device.type, cuts.shape, cuts.dtype) == ("cuda", (4, 6, 6), torch.float64)
    looks, moved = 2, 2  # after 32 steps and the last; the start vector and the rim
    assert len(gpu.waits) <= looks + moved, gpu.waits


@pytest.mark.parametrize(
    ("is_object", "right"),
    [
        # In a corner: it has less of the rim, and one corner.
        (rectangle(slice(0, 6), slice(0, 6)), {"border", "corners", "seed"}),
        # Of 70 % of the cells, in the middle: the largest value is of the smaller side.
        (rectangle(slice(1, 15), slice(2, 15)), {"border", "corners"}),
        # With three corners, and most of the rim.
        (rectangle(slice(0, 16), slice(0, 12)) | rectangle(slice(0, 5), slice(0, 16)), set()),
    ],
    ids=["corner", "large", "most-of-the-rim"],
)
def test_which_side_is_the_object(is_object, right):
    features = features_of(is_object, noise=0.05)
    for rule in ("border", "corners", "seed"):
        cut = normalized_cut(features[None], TokenCutParameters(orient=rule))[0].numpy()
        expected = is_object if rule in right else ~is_object
        np.testing.assert_array_equal(cut > 0, expected, rule)


@pytest.mark.parametrize("rule", ["border", "seed", "corners"])
def test_the_sign_of_an_eigenvector_does_not_matter(rule):
    vectors = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 5, 4)))
    sides = oriented(vectors, rule)
    assert torch.equal(oriented(-vectors, rule), sides)
    torch.testing.assert_close(sides.mean((1, 2)), torch.zeros(200).double())


def test_of_two_equal_objects_a_component_is_the_seeds():
    one, other = rectangle(slice(2, 6), slice(2, 7)), rectangle(slice(9, 13), slice(8, 13))
    features = features_of(one | other, noise=0.1)
    np.testing.assert_array_equal(mask_of(features, WEIGHTED) > 0.5, one | other)
    mask = mask_of(features, PUBLISHED)
    assert set(np.unique(mask)) == {0, 1}
    assert (mask == one).all() or (mask == other).all()
    soft = mask_of(features, TokenCutParameters(component="seed"))
    assert (soft[one] == 0).all() or (soft[other] == 0).all()


@both
@pytest.mark.parametrize("side", [1, 2, 3, 9])
def test_a_graph_that_has_no_cut_has_a_mask_of_zeros(parameters, side):
    count = side * side
    alike = torch.randn(1, 1, 100, generator=torch.Generator().manual_seed(1)).double()
    orthogonal = torch.eye(count, 100).double().view(side, side, 100)
    for features in (alike.expand(side, side, 100), orthogonal, torch.zeros(side, side, 8)):
        assert not mask_of(features, parameters).any()


def test_all_cosines_above_tau_make_a_complete_graph_which_has_no_cut():
    features = features_of(rectangle(), noise=0.05) + 2 * torch.ones(64) / 8
    assert not mask_of(features, PUBLISHED).any()
    assert (mask_of(features, WEIGHTED) > 0.5).sum() == rectangle().sum()


def test_a_soft_mask_rises_by_the_quantiles_of_the_sides():
    cut = np.array([[-4.0, -1, 1], [-2, 2, 10], [-2, 0.5, 3]])
    above, below = np.quantile([1, 2, 10, 0.5, 3], 0.9), np.quantile([4, 1, 2, 2], 0.9)
    mask = alpha_mask(cut, WEIGHTED)
    np.testing.assert_allclose(mask[0], [0, 0.5 - 1 / below, 0.5 + 1 / above])
    np.testing.assert_allclose(mask[1:, 1], [0.5 + 2 / above, 0.5 + 0.5 / above])
    assert mask[1, 2] == 1


def test_unknown_words_and_impossible_numbers_are_refused():
    for wrong in (
        {"recipe": "best"},
        {"features": "attention"},
        {"graph": "knn"},
        {"orient": "top"},
        {"component": "two"},
        {"power": 0.0},
        {"tau": 2.0},
        {"eps": 0.0},
        {"steps": 1},
    ):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be "):
            TokenCutParameters(**wrong)
