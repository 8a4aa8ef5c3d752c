"""From a map of features to a vector: the mean under a mask."""

from torch import Tensor
from torch.nn import functional


def masked_average(features: Tensor, masks: Tensor) -> Tensor:
    """Pool a map of features where its mask is.

    Parameters
    ----------
    features : Tensor of shape (B, D, h, w)
        Of any precision.
    masks : Tensor of shape (B, 1, H, W), float32
        Weights, at least 0, resized to (h, w) by area.

    Returns
    -------
    Tensor of shape (B, D), float32
        Weighted means; plain ones where a mask is all zero.
    """
    weights = functional.interpolate(masks, features.shape[2:], mode="area")
    empty = weights.amax((2, 3), keepdim=True) == 0
    weights = weights.masked_fill(empty, 1.0)
    return (features * weights).sum((2, 3)) / weights.sum((2, 3))
