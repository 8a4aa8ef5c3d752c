"""The losses of networks for saliency, each an image: cross-entropy, 1 - SSIM, 1 - IoU.

All compute in float32, and stay numbers with finite gradients for empty masks and predictions.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional

#: Side and sigma of the Gaussian window of SSIM, in pixels.
WINDOW, SIGMA = 11, 1.5
#: The constants C1 and C2 of SSIM, for values in [0, 1].
C1, C2 = 0.01**2, 0.03**2
#: A union of fewer pixels than this is empty.
EMPTY = 1e-6


def cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compute the binary cross-entropy of each image.

    Parameters
    ----------
    logits : Tensor of shape (B, 1, H, W), float
        Of the network.
    truth : Tensor of shape (B, 1, H, W), float
        In [0, 1].
    weight : Tensor of shape (B, 1, H, W), float, optional
        Of each pixel; 1 unless given.

    Returns
    -------
    Tensor of shape (B,), float32
        Mean over all pixels of -(y log p + (1 - y) log(1 - p)), times the weight.
    """
    losses = functional.binary_cross_entropy_with_logits(
        logits.float(), truth.float(), reduction="none"
    )
    return (losses if weight is None else losses * weight.float()).mean((1, 2, 3))


def ssim_loss(prediction: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compute 1 - SSIM of each image.

    Parameters
    ----------
    prediction, truth : Tensor of shape (B, 1, H, W), float
        In [0, 1].
    weight : Tensor of shape (B, 1, H, W), float, optional
        Of each pixel; 1 unless given.

    Returns
    -------
    Tensor of shape (B,), float32
        Mean over all pixels of 1 - SSIM, times the weight. The window is Gaussian, 11 x 11 pixels
        with sigma 1.5; beyond the edges there are zeros.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image Quality Assessment:
       From Error Visibility to Structural Similarity", IEEE TIP 2004, equation 13.
    """
    p, y = prediction.float(), truth.float()
    mean_p, mean_y, square_p, square_y, product = _windowed(
        torch.stack([p, y, p * p, y * y, p * y])
    )
    means, covariance = mean_p * mean_y, product - mean_p * mean_y
    # Rounding may leave a variance of a little below 0.
    variances = (square_p - mean_p**2).clamp(min=0) + (square_y - mean_y**2).clamp(min=0)
    numerator = (2 * means + C1) * (2 * covariance + C2)
    denominator = (mean_p**2 + mean_y**2 + C1) * (variances + C2)
    losses: Tensor = 1 - numerator / denominator
    return (losses if weight is None else losses * weight.float()).mean((1, 2, 3))


def iou_loss(prediction: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compute 1 - IoU of each image, as if its soft values were shares of pixels.

    Parameters
    ----------
    prediction, truth : Tensor of shape (B, 1, H, W), float
        In [0, 1].
    weight : Tensor of shape (B, 1, H, W), float, optional
        Of each pixel in both sums; 1 unless given.

    Returns
    -------
    Tensor of shape (B,), float32
        1 - sum(p y) / (sum(p) + sum(y) - sum(p y)); 0 where the union is empty.
    """
    p, y = prediction.float(), truth.float()
    both, either = p * y, p + y - p * y
    if weight is not None:
        both, either = both * weight.float(), either * weight.float()
    intersection, union = both.sum((1, 2, 3)), either.sum((1, 2, 3))
    nonempty = union > EMPTY
    # Divided by 1 where it does not count: what torch.where leaves out has a gradient all the same.
    return torch.where(nonempty, 1 - intersection / torch.where(nonempty, union, 1.0), 0.0)


def soft_iou(first: Tensor, second: Tensor) -> Tensor:
    """Compute how much two soft masks of each image agree.

    Parameters
    ----------
    first, second : Tensor of shape (B, 1, H, W), float
        In [0, 1].

    Returns
    -------
    Tensor of shape (B,), float32
        The sum of the lesser over the sum of the greater values; 1 for the same, also if empty.
    """
    a, b = first.float(), second.float()
    lesser, greater = torch.minimum(a, b).sum((1, 2, 3)), torch.maximum(a, b).sum((1, 2, 3))
    nonempty = greater > EMPTY
    return torch.where(nonempty, lesser / torch.where(nonempty, greater, 1.0), 1.0)


def _windowed(maps: Tensor) -> Tensor:
    """Average (..., H, W) by the Gaussian window, with zeros beyond the edges.

    As products of matrices: a GPU computes those in float32, but convolutions by default with 10
    bits, whose rounding is as large as a variance.
    """
    height, width = maps.shape[-2:]
    with torch.autocast(maps.device.type, enabled=False):
        return _band(height, maps.device) @ maps @ _band(width, maps.device)


@functools.cache
def _band(side: int, device: torch.device) -> Tensor:
    """Make the matrix, symmetric, that averages the lines of a map by the window."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    window /= window.sum()
    distances = (torch.arange(side)[:, None] - torch.arange(side)).abs()
    reach = WINDOW // 2
    weights = window[reach + distances.clamp(max=reach)] * (distances <= reach)
    return weights.float().to(device)
