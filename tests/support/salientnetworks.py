"""Small networks for saliency with random weights, in which every parameter matters."""

import numpy as np
import torch
import torch.nn.functional as F
from support.photographs import disc_and_truth
from torch import Tensor, nn

from dilo.pipeline.saliency.networkparameters import SalientObjectParameters
from dilo.train.augment.color import MEAN, STD
from dilo.train.saliency.basnet import BASNet
from dilo.train.saliency.masknetwork import SalientObjectNetwork

#: Channels: an eighth of the published, so sixty times as fast.
WIDTH = 8


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw what begins as zeros and ones, too, and statistics as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 4:  # so that little fades on the way, and nothing explodes
            fan = tensor[0].numel()
            tensor.normal_(0, (1.4 / fan) ** 0.5, generator=generator)
        elif name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            tensor.uniform_(0.7, 1.3, generator=generator)
        elif tensor.is_floating_point():
            tensor.uniform_(-0.3, 0.3, generator=generator)
    return network.eval().requires_grad_(False)


def basnet(width: int = WIDTH, seed: int = 0) -> BASNet:
    """Draw BASNet."""
    network = BASNet(width)
    lively(network, seed)
    return network


def double(network: nn.Module) -> dict[str, Tensor]:
    """Give the state of a network in float64."""
    return {name: value.double() for name, value in network.state_dict().items()}


def taught(side: int = 32, steps: int = 40) -> BASNet:
    """Teach BASNet in seconds to find discs.

    Channels do not come last in memory: oneDNN (its issue 6035, in torch 2.14) writes beyond its
    buffers where it then computes the gradient of a strided 1 x 1 convolution of few channels.
    """
    pairs = [disc_and_truth(seed, side) for seed in range(8)]
    network = basnet().requires_grad_(True).train()
    looking = SalientObjectNetwork(basnet(), SalientObjectParameters(side=side), "cpu")
    seen = np.stack([looking.prepare(image) for image, _ in pairs])
    images = torch.from_numpy(seen).permute(0, 3, 1, 2).contiguous()
    standardized = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    truths = torch.from_numpy(np.stack([truth for _, truth in pairs]))[:, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = sum(F.binary_cross_entropy_with_logits(m, truths) for m in network(standardized))
        loss.backward()
        optimizer.step()
    return network.eval().requires_grad_(False)
