"""The normalised cut: features of an image's cells to a graph, its second eigenvector, a side."""

import functools

import numpy as np
import torch
from torch import Tensor

from dilo.eval.tokencut.maskmethods import TokenCutParameters

#: A graph whose second eigenvalue, or whose spread of eigenvalues, is below this has no cut.
_FLAT = 1e-3
#: Steps of Lanczos between two looks at what is left to do, and when nothing is.
_STEPS, _RESIDUAL = 32, 1e-10
#: A vector shorter than this is what rounding left.
_NOTHING = 1e-10
#: Corners of a grid that make a side the background, of four.
_CORNERS = 3


def normalized_cut(features: Tensor, parameters: TokenCutParameters) -> Tensor:
    """Cut the graph of the cells of each image in two.

    Parameters
    ----------
    features : Tensor of shape (B, h, w, D)
        Of each cell, of any length.
    parameters : TokenCutParameters
        The graph's, the solver's, and which side is the object.

    Returns
    -------
    Tensor of shape (B, h, w), float64
        The second eigenvector less its mean: above 0 on the object's side. Zeros where the graph
        has no cut: all cells alike, or none like another. NaN where a feature is not finite.
        No image's values hang on another's.

    References
    ----------
    J. Shi and J. Malik, "Normalized Cuts and Image Segmentation", IEEE TPAMI 22(8), 2000.
    Y. Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery using
    Normalized Cut", CVPR 2022.
    """
    batch, height, width = features.shape[:3]
    cells = features.flatten(1, 2).double()
    is_finite = cells.isfinite().all(2).all(1)
    affinities = affinity(torch.where(is_finite[:, None, None], cells, 0), parameters)
    vectors = second_eigenvector(affinities, parameters.steps)
    sides = oriented(vectors.view(batch, height, width), parameters.orient)
    return torch.where(is_finite[:, None, None], sides, torch.nan)


def affinity(cells: Tensor, parameters: TokenCutParameters) -> Tensor:
    """Weigh the edges between all cells of an image by the cosine of their features.

    Parameters
    ----------
    cells : Tensor of shape (B, N, D), float64
        Finite; of a cell of zeros every cosine is 0.
    parameters : TokenCutParameters
        Of which `graph`, `power`, `tau` and `eps`.

    Returns
    -------
    Tensor of shape (B, N, N), float64
        All above 0. "weighted": max(cosine, 0) ** power + eps. "binary": 1 where the cosine is
        above tau, else eps.
    """
    tiny = torch.finfo(torch.float64).tiny
    directions = cells / cells.norm(dim=2, keepdim=True).clamp(min=tiny)
    cosines: Tensor = directions @ directions.mT
    if parameters.graph == "binary":
        return (cosines > parameters.tau).double().clamp(min=parameters.eps)
    return cosines.clamp(min=0).pow(parameters.power) + parameters.eps


def second_eigenvector(affinities: Tensor, steps: int) -> Tensor:
    """Solve (D - A) y = l D y for the second smallest l, D being the sums of the rows of A.

    Parameters
    ----------
    affinities : Tensor of shape (B, N, N), float64
        Symmetric, all above 0: A of each image.
    steps : int
        Of Lanczos, at most. An image stops where its residual is below 1e-10, whatever the others
        of its batch do.

    Returns
    -------
    Tensor of shape (B, N), float64
        y, of either sign. Zeros where none is singled out: where l is 1 but for 0.001, as of a
        constant A, or all eigenvalues but the first are equal but for 0.001, as of a multiple of
        the identity.

    Notes
    -----
    y is D^-1/2 u for the eigenvector u of M = D^-1/2 A D^-1/2 with the second largest eigenvalue,
    1 - l. The largest is 1, of D^1/2 1, to which all vectors are kept orthogonal. The start is
    fixed, and every vector is made orthogonal to all before, twice.

    References
    ----------
    B. N. Parlett, "The Symmetric Eigenvalue Problem", 1980, chapter 13.
    """
    scale = affinities.sum(2).rsqrt()
    matrix = affinities * scale[:, :, None] * scale[:, None, :]
    known = scale.reciprocal()
    known = known / known.norm(dim=1, keepdim=True)
    count = matrix.shape[1]
    if count < 3:  # of two cells each is the other's background
        return torch.zeros_like(known)
    return _lanczos(matrix, known, min(steps, count - 1)) * scale


def _lanczos(matrix: Tensor, known: Tensor, steps: int) -> Tensor:
    """Find the top eigenvectors (B, N) of (B, N, N) that are orthogonal to known ones (B, N)."""
    batch, count = known.shape
    basis = known.new_zeros(batch, steps + 2, count)
    basis[:, 0] = known
    basis[:, 1] = _unit(_orthogonal(_start(count).to(known).expand_as(known), basis[:, :1]))
    diagonal, off = known.new_zeros(batch, steps), known.new_ones(batch, steps + 1)
    tops, is_done = torch.zeros_like(known), torch.zeros_like(known[:, 0], dtype=torch.bool)
    for step in range(steps):
        vector = basis[:, step + 1]
        image = (matrix @ vector[:, :, None])[:, :, 0]
        # Where the vectors have run out, a value inside the spectrum adds none to it.
        value = (vector * image).sum(1)
        diagonal[:, step] = torch.where(off[:, step] > 0, value, diagonal[:, 0])
        rest = _orthogonal(image, basis[:, : step + 2])
        off[:, step + 1] = _length(rest)
        basis[:, step + 2] = _unit(rest)
        size = step + 1
        if size % _STEPS and size != steps:
            continue
        top, residual = _top(diagonal[:, :size], off[:, 1 : size + 1])
        # An image that is done stays as it is, so that no other decides how long it is worked on.
        vectors = (top[:, None] @ basis[:, 1 : size + 1])[:, 0]
        tops = torch.where(is_done[:, None], tops, vectors)
        is_done |= residual < _RESIDUAL
        if bool(is_done.all()):
            break
    return tops


def oriented(vectors: Tensor, rule: str) -> Tensor:
    """Give an eigenvector the sign that makes the object's side positive, and take its mean off.

    Parameters
    ----------
    vectors : Tensor of shape (B, h, w), float64
        Of either sign; cut at the mean.
    rule : {"border", "seed", "corners"}
        "seed": the side of the largest absolute value is the object, as published. "border":
        the side that holds more of the outermost ring is the background. "corners": the side that
        holds three of the four corners is. Where these are undecided, the seed decides.

    Returns
    -------
    Tensor of shape (B, h, w), float64
        Above 0 on the object's side; the same for a vector and its negative.

    References
    ----------
    X. Wang et al., "Cut and Learn for Unsupervised Object Detection and Instance Segmentation",
    CVPR 2023, for the corners; there one side's are counted, here both sides'.
    """
    flat = vectors.flatten(1)
    sides = flat - flat.mean(1, keepdim=True)
    seeds = flat.abs().argmax(1, keepdim=True)
    is_flipped = sides.gather(1, seeds)[:, 0] < 0
    if rule != "seed":
        grid = (sides > 0).view_as(vectors)
        is_rim = _rim(vectors.shape[1], vectors.shape[2], rule)
        total = int(is_rim.sum())
        inside = (grid & is_rim.to(vectors.device)).flatten(1).sum(1)
        needed = total // 2 + 1 if rule == "border" else _CORNERS
        is_flipped = (inside >= needed) | (is_flipped & (total - inside < needed))
    signed = torch.where(is_flipped[:, None], -sides, sides)
    return signed.view_as(vectors)


def _rim(height: int, width: int, rule: str) -> Tensor:
    """Mark the outermost ring of a grid, or its corners."""
    rows, columns = torch.zeros(height, dtype=torch.bool), torch.zeros(width, dtype=torch.bool)
    rows[[0, -1]] = columns[[0, -1]] = True
    if rule == "border":
        return rows[:, None] | columns[None, :]
    return rows[:, None] & columns[None, :]


@functools.cache
def _start(count: int) -> Tensor:
    """Draw the first vector, always the same."""
    values = np.random.Generator(np.random.Philox(0)).standard_normal(count)
    return torch.from_numpy(values)


def _orthogonal(vectors: Tensor, basis: Tensor) -> Tensor:
    """Take off what lies along others, (B, k, N), and again what rounding left of it."""
    for _ in range(2):
        shares = basis @ vectors[:, :, None]
        vectors = vectors - (basis.mT @ shares)[:, :, 0]
    return vectors


def _length(vectors: Tensor) -> Tensor:
    """Measure vectors; what rounding left has length 0."""
    lengths = vectors.norm(dim=1)
    return torch.where(lengths > _NOTHING, lengths, 0)


def _unit(vectors: Tensor) -> Tensor:
    """Make vectors as long as 1, and zeros of what rounding left."""
    lengths = _length(vectors)[:, None]
    return torch.where(lengths > 0, vectors / lengths.clamp(min=_NOTHING), 0)


def _top(diagonal: Tensor, off: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the tridiagonal matrix of (B, k) values: its top eigenvector, and how good it is.

    Zeros where no value stands out of the others.
    """
    small = torch.diag_embed(diagonal)
    small = small + torch.diag_embed(off[:, :-1], 1) + torch.diag_embed(off[:, :-1], -1)
    values, vectors = torch.linalg.eigh(small)
    highest, top = values[:, -1], vectors[:, :, -1]
    is_cut = (highest > _FLAT) & (highest - values[:, 0] > _FLAT)
    return torch.where(is_cut[:, None], top, 0), off[:, -1] * top[:, -1].abs()
