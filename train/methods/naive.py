"""The naive way to use saliency: features are pooled where the foreground is."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from dilo.train.methods.losses import l2_normalize
from dilo.train.methods.moco import MoCo
from dilo.train.networks.encoder import feature_map


class Naive(MoCo):
    """MoCo that sees the foreground alone: what copy-paste is compared with in the paper.

    The last feature map is averaged with the view's saliency, soft and brought to the size of
    the map, as its weight. All else is MoCo's.

    References
    ----------
    .. [1] N. Zhao et al., "Distilling Localization for Self-Supervised Representation
       Learning", AAAI 2021: the naive approach.
    """

    needs_masks: ClassVar[bool] = True

    def _encode(self, network: nn.Module, views: Tensor, masks: Tensor | None) -> Tensor:
        """Embed views by their foregrounds, as directions."""
        if masks is None:
            raise ValueError("masks must be given to method naive, got none")
        head = network.get_submodule("fc")
        return l2_normalize(head(masked_average(feature_map(network, views), masks)))


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
