"""The networks that find salient objects, by name, and the files of their weights."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dilo.pipeline.errors import CheckpointError
from dilo.pipeline.saliency.weights import weights_file
from dilo.train.saliency.basnet import BASNet
from dilo.train.saliency.unet import UNet
from dilo.train.weights.loading import load_weights, state_dict_of
from dilo.train.weights.torchfile import read, shown

#: Makes a network of a width. It maps standardised images (B, 3, H, W) to logits (B, 1, H, W), of
#: which the first is its prediction; the first tensor of its state dict has `width` channels.
NETWORKS: dict[str, Callable[[int], nn.Module]] = {"basnet": BASNet, "unet": UNet}
#: What a file may claim to be wide; torch cannot even describe much more.
_WIDEST = 1024


def read_network(path: Path, arch: str) -> nn.Module:
    """Build a network from its weights.

    Parameters
    ----------
    path : Path
        The weights alone, as the BASNet repository publishes them, or wrapped for many devices;
        a checkpoint of ``dilo-train saliency``; or the folder of a run of it.
    arch : str
        A key of `NETWORKS`.

    Returns
    -------
    Module
        As wide as the weights are; in eval mode, without gradients, on the CPU.

    Raises
    ------
    CheckpointError
        If there is no such file, it cannot be read, or it is not of this network.
    """
    file = weights_file(path)
    requirement = f"--weights {file} must hold the weights of {arch}"
    weights = _weights(read(file), arch, requirement)
    # Without memory: what a file claims is compared before anything is made of it.
    with torch.device("meta"):
        network = NETWORKS[arch](_width(weights, arch))
    load_weights(network, weights, requirement, "give its own file, or another --method")
    return network.eval().requires_grad_(False)


def training_format(arch: str, width: int, device: torch.device) -> torch.memory_format:
    """Choose how a network that learns lies in memory.

    Parameters
    ----------
    arch : str
        A key of `NETWORKS`.
    width : int
        Its width.
    device : device
        Where it learns.

    Returns
    -------
    memory_format
        Channels last, which is faster, where torch survives it.
    """
    # With channels last, oneDNN (its issue 6035, in torch 2.14) writes beyond its buffers where it
    # computes the gradient of a strided 1 x 1 convolution of fewer than 16 channels, as BASNet's
    # second stage has one.
    narrow = arch == "basnet" and width < 16
    return torch.contiguous_format if narrow and device.type == "cpu" else torch.channels_last


def _weights(content: object, arch: str, requirement: str) -> dict[str, Tensor]:
    """Take the tensors of a file, by the network's own names."""
    fields = content if isinstance(content, Mapping) else {}
    file_arch = fields.get("arch")
    if isinstance(file_arch, str) and file_arch != arch:
        advice = f"give --method {file_arch}" if file_arch in NETWORKS else "give another file"
        raise CheckpointError(f"{requirement}, got those of {shown(file_arch)}: {advice}")
    tensors = state_dict_of(content)
    if not tensors:
        raise CheckpointError(f"{requirement}, got no tensor: give another file")
    return tensors


def _width(weights: Mapping[str, Tensor], arch: str) -> int:
    """Read the width off the first tensor; without one, any will do to say what is missing."""
    name = next(iter(NETWORKS[arch](1).state_dict()))
    first = weights.get(name)
    channels = first.shape[0] if first is not None and first.ndim else 0
    return channels if 0 < channels <= _WIDEST else 64
