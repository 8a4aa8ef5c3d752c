"""Robust background detection (RBD): what is tied to the image's boundary is background."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dppsv

from dilo.pipeline.saliency.frame import inside_frame
from dilo.pipeline.saliency.graph import (
    adjacency_counts,
    color_scales,
    gaussian_weight,
    geodesic_distance,
    pairwise_distance,
    two_step_neighbors,
)
from dilo.pipeline.saliency.parameters import RbdParameters
from dilo.pipeline.saliency.superpixels import Superpixels, describe, segment


def rbd(image: NDArray[np.uint8], parameters: RbdParameters) -> NDArray[np.float64]:
    """Compute saliency by robust background detection.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    parameters : RbdParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in [0, 1], one value a superpixel; 0 in a frame, and everywhere if nothing
        stands out.

    References
    ----------
    W. Zhu, S. Liang, Y. Wei and J. Sun, "Saliency Optimization from Robust Background
    Detection", CVPR 2014, as released by the authors (24 March 2014).
    """
    side = len(image)
    inside = inside_frame(image, parameters)
    picture = image[inside]
    area = picture.shape[0] * picture.shape[1]
    labels = segment(
        picture,
        count=max(1, int(parameters.superpixels * area / side**2 + 0.5)),
        compactness=parameters.compactness,
        smallest=parameters.smallest_superpixel,
    )
    superpixels = describe(picture, labels, band=max(1, int(parameters.boundary_band * side + 0.5)))
    saliency = np.zeros((side, side))
    saliency[inside] = superpixel_saliency(superpixels, parameters)[labels]
    return saliency


def superpixel_saliency(superpixels: Superpixels, parameters: RbdParameters) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel.

    Parameters
    ----------
    superpixels : Superpixels
        N superpixels of one image.
    parameters : RbdParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency stretched to [0, 1], or all 0.
    """
    boundary = superpixels.on_boundary
    counts = adjacency_counts(superpixels.labels)
    adjacent = counts > 0
    np.fill_diagonal(adjacent, False)
    near = two_step_neighbors(adjacent)
    difference = pairwise_distance(superpixels.lab)
    scales = color_scales(difference, adjacent, near, parameters)

    geodesic = geodesic_distance(difference, adjacent, boundary, clip=scales.clip)
    connectivity = boundary_connectivity(geodesic, boundary, sigma=scales.geodesic_sigma)
    probability = background_probability(connectivity, sigma=parameters.connectivity_sigma)
    weight = np.where(
        connectivity > parameters.certain_connectivity, parameters.certain_weight, probability
    )
    contrast = background_weighted_contrast(
        difference, superpixels.position, probability, sigma=parameters.position_sigma
    )
    linked = near | np.logical_and.outer(boundary, boundary)
    smoothness = np.where(linked, gaussian_weight(difference, scales.neighbor_sigma), 0.0)
    smoothness += parameters.adjacency_weight * counts
    return stretch(optimize(contrast, parameters.background_factor * weight, smoothness))


def boundary_connectivity(
    geodesic: NDArray[np.float64], on_boundary: NDArray[np.bool_], *, sigma: float
) -> NDArray[np.float64]:
    """Measure how much of a superpixel's surroundings is the image's boundary.

    Parameters
    ----------
    geodesic : ndarray of shape (N, N), float64
        Shortest-path colour distance, in CIELAB units.
    on_boundary : ndarray of shape (N,), bool
        Whether the superpixel is in the boundary.
    sigma : float
        Sigma of geodesic distances.

    Returns
    -------
    ndarray of shape (N,), float64
        Length along the boundary over the root of the spanning area: high for background,
        near 0 for what does not reach the boundary.

    References
    ----------
    Zhu et al., CVPR 2014, equations 2 to 5.
    """
    reach = gaussian_weight(geodesic, sigma)
    connectivity: NDArray[np.float64] = reach[:, on_boundary].sum(axis=1)
    connectivity /= np.sqrt(reach.sum(axis=1))
    return connectivity


def background_probability(
    connectivity: NDArray[np.float64], *, sigma: float
) -> NDArray[np.float64]:
    """Turn boundary connectivity into a probability of background.

    Parameters
    ----------
    connectivity : ndarray of shape (N,), float64
        Boundary connectivity.
    sigma : float
        Connectivity at which the probability is 1 - exp(-1/2).

    Returns
    -------
    ndarray of shape (N,), float64
        Probability in [0, 1].

    References
    ----------
    Zhu et al., CVPR 2014, equation 8.
    """
    return -np.expm1(-0.5 * np.square(connectivity / sigma))


def background_weighted_contrast(
    difference: NDArray[np.float64],
    position: NDArray[np.float64],
    probability: NDArray[np.float64],
    *,
    sigma: float,
) -> NDArray[np.float64]:
    """Measure each superpixel's contrast to the background near it, cut by Otsu's threshold.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    position : ndarray of shape (N, 2), float64
        Positions in units of the image's sides.
    probability : ndarray of shape (N,), float64
        Probability of background.
    sigma : float
        Sigma of positions.

    Returns
    -------
    ndarray of shape (N,), float64
        Contrast stretched to [0, 1], and 0 where it is below the threshold.

    References
    ----------
    Zhu et al., CVPR 2014, equation 7; stretch and threshold are the released code's.
    """
    closeness = gaussian_weight(pairwise_distance(position), sigma)
    contrast = stretch((difference * closeness * probability).sum(axis=1))
    return np.where(contrast < otsu_threshold(contrast), 0.0, contrast)


def otsu_threshold(values: NDArray[np.float64]) -> float:
    """Find the threshold that divides values into the two classes furthest apart.

    Parameters
    ----------
    values : ndarray of shape (N,), float64
        Values in [0, 1], one vote each, counted in 256 bins.

    Returns
    -------
    float
        Threshold in [0, 1], the mean of those that are equally good; 0 where all values fall
        in one bin.

    References
    ----------
    N. Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions on
    Systems, Man, and Cybernetics 9(1), 1979, equation 18.
    """
    # Whole numbers throughout, so that equally good thresholds are exactly so.
    histogram = np.bincount(np.floor(255 * values + 0.5).astype(np.int64), minlength=256)
    below = np.cumsum(histogram)
    moment = np.cumsum(histogram * np.arange(256))
    votes, total = below[-1], moment[-1]
    between = np.square((total * below - moment * votes).astype(np.float64))
    spread = below * (votes - below)
    between = np.divide(between, spread, out=np.zeros(256), where=spread > 0)
    if between.max() == 0:
        return 0.0
    return float(np.flatnonzero(between == between.max()).mean()) / 255


def optimize(
    foreground: NDArray[np.float64],
    background: NDArray[np.float64],
    smoothness: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Find the saliency that best fits foreground, background and smoothness at once.

    Parameters
    ----------
    foreground : ndarray of shape (N,), float64
        Weights that pull a superpixel to 1.
    background : ndarray of shape (N,), float64
        Weights that pull a superpixel to 0.
    smoothness : ndarray of shape (N, N), float64
        Symmetric weights that pull two superpixels together; the diagonal has no effect.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency in [0, 1].

    References
    ----------
    Zhu et al., CVPR 2014, equation 9.
    """
    matrix = np.diag(smoothness.sum(axis=0) + background + foreground) - smoothness
    # Packed Cholesky: half the work of a general solver, and, unlike it, never threaded.
    solution, failed = dppsv(len(matrix), matrix[np.tril_indices_from(matrix)], foreground[:, None])
    if failed:
        raise ValueError("background must be positive somewhere in each connected part, got zeros")
    return np.asarray(solution[:, 0], dtype=np.float64)


def stretch(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch values to [0, 1], the same values to 0.

    Parameters
    ----------
    values : ndarray of shape (N,), float64
        Finite values.

    Returns
    -------
    ndarray of shape (N,), float64
        Values of which the smallest is 0 and the largest 1, unless all are the same.
    """
    low, high = values.min(), values.max()
    stretched: NDArray[np.float64] = (values - low) / (high - low + np.finfo(np.float64).eps)
    return stretched
