"""Two backbones that see different colours of an image, as one; and either alone."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class TwoStream(nn.Module):
    """The two backbones of contrastive multiview coding, their features side by side.

    Parameters
    ----------
    luminance, colours : Module
        Backbones of the first channel, and of the other two, or these with their heads.

    References
    ----------
    .. [1] Y. Tian, D. Krishnan and P. Isola, "Contrastive Multiview Coding", ECCV 2020.
    """

    def __init__(self, luminance: nn.Module, colours: nn.Module) -> None:
        super().__init__()
        self.l_to_ab, self.ab_to_l = luminance, colours

    def forward(self, images: Tensor) -> Tensor:
        """Pool the features of luminance, then of colours, as (B, 2 D).

        Embeddings are normalized each, so that their cosine is the mean of the two.
        """
        features = [network(channels) for network, channels in self.streams(images)]
        if not isinstance(self.l_to_ab.fc, nn.Identity):
            features = [normalize(values) for values in features]
        return torch.cat(features, 1)

    def streams(self, images: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """Pair each backbone with what it sees of (B, 3, H, W): the first channel, the others."""
        return [(self.l_to_ab, images[:, :1]), (self.ab_to_l, images[:, 1:])]


class SingleStream(nn.Module):
    """One backbone of a pair, alone.

    Parameters
    ----------
    network : Module
        Its backbone, or this with its head.
    channels : {1, 2}
        Of its input: luminance, or colours.
    """

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels

    def forward(self, images: Tensor) -> Tensor:
        """Pool the features of what it sees, as (B, D)."""
        ((network, channels),) = self.streams(images)
        features: Tensor = network(channels)
        return features

    def streams(self, images: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """Pair the backbone with what it sees of (B, 3, H, W)."""
        return [(self.network, images[:, :1] if self.channels == 1 else images[:, 1:])]
