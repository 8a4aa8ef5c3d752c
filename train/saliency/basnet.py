"""BASNet: a ResNet-34 without its first halving, a decoder, and a small network that refines."""

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from dilo.train.weights.loading import load_weights

#: Sides of the images are multiples of this: five halvings.
STRIDE = 32
#: Channels at the six levels of the encoder, as multiples of the width.
_LEVELS = (1, 2, 4, 8, 8, 8)
#: Blocks of the four levels that are ResNet-34's, and of the two after them.
_BLOCKS = (3, 4, 6, 3)
_MORE_BLOCKS = 3
#: The stages after the encoder: input, the outputs of its three convolutions, as multiples of the
#: width, and their dilations.
_STAGES = {
    "bg": (8, (8, 8, 8), (2, 2, 2)),
    "6d": (16, (8, 8, 8), (1, 2, 2)),
    "5d": (16, (8, 8, 8), (1, 1, 1)),
    "4d": (16, (8, 8, 4), (1, 1, 1)),
    "3d": (8, (4, 4, 2), (1, 1, 1)),
    "2d": (4, (2, 2, 1), (1, 1, 1)),
    "1d": (2, (1, 1, 1), (1, 1, 1)),
}
_STEPS = ("1", "m", "2")


class BASNet(nn.Module):
    """Finds the salient object of an image.

    It is as the authors publish it, to the names, shapes and order of its state dict, but random:
    the layers of ResNet-34 as torchvision begins them, all others as torch does. `load_encoder`
    gives the former what was learned elsewhere.

    Parameters
    ----------
    width : int, default 64
        Channels of its first level; the others are multiples of it. The published one has 64.

    References
    ----------
    X. Qin et al., "BASNet: Boundary-Aware Salient Object Detection", CVPR 2019, and the code
    that goes with it.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.inconv = _convolution(3, width)
        self.inbn = nn.BatchNorm2d(width)
        inputs = width
        for level, (times, blocks) in enumerate(zip(_LEVELS, _BLOCKS, strict=False), start=1):
            self.add_module(f"encoder{level}", _residual_layer(inputs, times * width, blocks))
            inputs = times * width
        for level in range(len(_BLOCKS) + 1, len(_LEVELS) + 1):
            for block in range(1, _MORE_BLOCKS + 1):
                self.add_module(f"resb{level}_{block}", BasicBlock(inputs, inputs))
        for stage, (times, outputs, dilations) in _STAGES.items():
            inputs = times * width
            for step, times, dilation in zip(_STEPS, outputs, dilations, strict=True):
                outcome = times * width
                self.add_module(f"conv{stage}_{step}", _convolution(inputs, outcome, dilation))
                self.add_module(f"bn{stage}_{step}", nn.BatchNorm2d(outcome))
                inputs = outcome
        for stage, (_, outputs, _) in _STAGES.items():
            self.add_module(f"outconv{stage[0]}", _convolution(outputs[-1] * width, 1))
        self.refunet = RefineNet(width)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images to the logits of saliency: before the sigmoid, which is for the caller.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            Standardised; H and W are multiples of 32.

        Returns
        -------
        tuple of eight Tensors of shape (B, 1, H, W)
            The refined prediction, then the decoder's from the finest level to the coarsest, and
            the bridge's: dout, d1, d2, d3, d4, d5, d6, db.

        Raises
        ------
        ValueError
            If a side is no multiple of 32.
        """
        size = images.shape[-2:]
        if any(side % STRIDE for side in size):
            raise ValueError(f"sides must be multiples of {STRIDE}, got {tuple(size)}")
        levels = self._encode(images)
        hidden = self._stage("bg", levels[-1])
        logits = [_resize(self._module("outconvb")(hidden), size)]
        for level in range(len(levels), 0, -1):
            skipped = levels[level - 1]
            joined = torch.cat([_resize(hidden, skipped.shape[-2:]), skipped], dim=1)
            hidden = self._stage(f"{level}d", joined)
            logits.append(_resize(self._module(f"outconv{level}")(hidden), size))
        return (self.refunet(logits[-1]), *reversed(logits))

    def _encode(self, images: Tensor) -> list[Tensor]:
        """Give the six levels, the finest first."""
        hidden = F.relu(self.inbn(self.inconv(images)))
        levels = []
        for level in range(1, len(_LEVELS) + 1):
            if level <= len(_BLOCKS):
                hidden = self._module(f"encoder{level}")(hidden)
            else:
                hidden = _halve(hidden)
                for block in range(1, _MORE_BLOCKS + 1):
                    hidden = self._module(f"resb{level}_{block}")(hidden)
            levels.append(hidden)
        return levels

    def _stage(self, stage: str, hidden: Tensor) -> Tensor:
        """Go through three convolutions."""
        for step in _STEPS:
            hidden = self._module(f"conv{stage}_{step}")(hidden)
            hidden = F.relu(self._module(f"bn{stage}_{step}")(hidden))
        return hidden

    def _module(self, name: str) -> nn.Module:
        """Give a layer by its name."""
        return cast(nn.Module, getattr(self, name))


class RefineNet(nn.Module):
    """Adds to a map of logits what it lacks; it sees the map alone, not the image.

    Parameters
    ----------
    width : int, default 64
        Channels of all its levels.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv0 = _convolution(1, width)
        for level in range(1, 6):
            self.add_module(f"conv{level}", _convolution(width, width))
            self.add_module(f"bn{level}", nn.BatchNorm2d(width))
        for level in range(4, 0, -1):
            self.add_module(f"conv_d{level}", _convolution(2 * width, width))
            self.add_module(f"bn_d{level}", nn.BatchNorm2d(width))
        self.conv_d0 = _convolution(width, 1)

    def forward(self, logits: Tensor) -> Tensor:
        """Refine a map.

        Parameters
        ----------
        logits : Tensor of shape (B, 1, H, W)
            The map.

        Returns
        -------
        Tensor of shape (B, 1, H, W)
            Its logits, better.
        """
        hidden = self.conv0(logits)
        levels = []
        for level in range(1, 5):
            levels.append(self._step(str(level), hidden))
            hidden = _halve(levels[-1])
        hidden = self._step("5", hidden)
        for level in range(4, 0, -1):
            skipped = levels[level - 1]
            joined = torch.cat([_resize(hidden, skipped.shape[-2:]), skipped], dim=1)
            hidden = self._step(f"_d{level}", joined)
        return cast(Tensor, logits + self.conv_d0(hidden))

    def _step(self, name: str, hidden: Tensor) -> Tensor:
        """Go through a convolution and its batch norm."""
        convolved = cast(nn.Module, getattr(self, f"conv{name}"))(hidden)
        return F.relu(cast(nn.Module, getattr(self, f"bn{name}"))(convolved))


def load_encoder(
    network: BASNet, state: Mapping[str, Tensor], what: str = "the state dict"
) -> None:
    """Fill the first four levels from a ResNet-34.

    Parameters
    ----------
    network : BASNet
        To be filled.
    state : mapping of str to Tensor
        A ResNet-34 by torchvision's names. What lies outside of layer1 to layer4 is left out.
    what : str, default "the state dict"
        Where it is from, for errors.

    Raises
    ------
    CheckpointError
        If its four layers are not exactly those of a ResNet-34, or not finite.
    """
    layers = nn.ModuleDict(
        {f"layer{n}": cast(nn.Module, getattr(network, f"encoder{n}")) for n in range(1, 5)}
    )
    weights = {name: value for name, value in state.items() if name.startswith("layer")}
    load_weights(
        layers,
        weights,
        f"{what} must hold layer1 to layer4 of a ResNet-34, named as torchvision does",
        "take another file, or start without one",
    )


def _convolution(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    """Make a convolution of 3 x 3, with bias, that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=dilation, dilation=dilation)


def _residual_layer(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """Make a layer of ResNet-34, which halves where the channels change."""
    shortcut, stride = None, 1
    if inputs != outputs:
        stride = 2
        projection = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
        shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
    first = BasicBlock(inputs, outputs, stride, shortcut)
    layer = nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))
    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return layer


def _halve(hidden: Tensor) -> Tensor:
    """Take the largest of 2 x 2."""
    return F.max_pool2d(hidden, kernel_size=2, stride=2, ceil_mode=True)


def _resize(hidden: Tensor, size: torch.Size) -> Tensor:
    """Interpolate to a size: the identity where it has it."""
    if hidden.shape[-2:] == size:
        return hidden
    return F.interpolate(hidden, size=size, mode="bilinear", align_corners=False)
