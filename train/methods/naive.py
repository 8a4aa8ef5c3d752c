"""The naive way to use saliency: features are pooled where the foreground is."""

from typing import ClassVar

from torch import Tensor, nn

from dilo.train.methods.losses import l2_normalize
from dilo.train.methods.moco import MoCo


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
        return l2_normalize(network(views, masks))
