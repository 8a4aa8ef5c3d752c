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
        """Give the pooled features.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            In the space of the encoder.

        Returns
        -------
        Tensor of shape (B, 2 D), float32
            Of luminance, then of colours. Embeddings are normalised each, so that their
            cosine is the mean of the two.
        """
        found = [network(part) for network, part in self.parts(images)]
        if not isinstance(self.l_to_ab.fc, nn.Identity):
            found = [normalize(values) for values in found]
        return torch.cat(found, 1)

    def parts(self, images: Tensor) -> tuple[tuple[nn.Module, Tensor], tuple[nn.Module, Tensor]]:
        """Give each backbone what it sees.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            In the space of the encoder.

        Returns
        -------
        tuple of (Module, Tensor)
            Luminance's backbone with (B, 1, H, W), and that of colours with (B, 2, H, W).
        """
        return (self.l_to_ab, images[:, :1]), (self.ab_to_l, images[:, 1:])


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
        """Give the pooled features.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            In the space of the encoder.

        Returns
        -------
        Tensor of shape (B, D), float32
            Of what it sees.
        """
        ((network, part),) = self.parts(images)
        found: Tensor = network(part)
        return found

    def parts(self, images: Tensor) -> tuple[tuple[nn.Module, Tensor]]:
        """Give the backbone what it sees.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            In the space of the encoder.

        Returns
        -------
        tuple of (Module, Tensor)
            The backbone with (B, channels, H, W).
        """
        return ((self.network, images[:, :1] if self.channels == 1 else images[:, 1:]),)
