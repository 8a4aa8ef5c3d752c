"""Batch norm over all groups of a batch, and its statistics measured anew after training."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from dilo.eval.detect.groups import current_group


class SharedStatistics(nn.BatchNorm2d):
    """Batch norm whose statistics are the means over groups of images, on any number of ranks.

    Each group has equal weight, whatever its size. The running variance is that of the batch,
    biased. In eval mode it is ordinary batch norm, and its state dict is that of `BatchNorm2d`.

    References
    ----------
    .. [1] Y. Wu et al., detectron2, 2019: its NaiveSyncBatchNorm over GPUs.
    """

    #: Values a channel in the last batch: the mean over the groups, of shape ().
    positions: Tensor

    def forward(self, values: Tensor) -> Tensor:
        """Normalise, scale and shift.

        Parameters
        ----------
        values : Tensor of shape (B, C, H, W)
            Activations of a group.

        Returns
        -------
        Tensor of shape (B, C, H, W)
            Of zero mean and unit variance a channel, over all groups, then scaled and shifted.
        """
        group = current_group()
        if not self.training or group is None:
            return super().forward(values)
        numbers = values.float()
        count = numbers.numel() // numbers.shape[1]
        statistics = numbers.new_zeros(2, numbers.shape[1])
        if count:
            statistics = torch.stack([numbers.mean((0, 2, 3)), numbers.square().mean((0, 2, 3))])
        # A group in which nothing is pooled says nothing of the statistics.
        sizes = numbers.new_tensor([float(count), float(count > 0)])
        shared = group.average(torch.cat([statistics.flatten(), sizes]))
        mean, square = shared[:-1].chunk(2)
        variance = square - mean * mean
        if group.number == 0:
            self._remember(mean, variance, shared[-1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (numbers * scale[:, None, None] + shift[:, None, None]).to(values.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, positions: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        running = [cast(Tensor, self.running_mean), cast(Tensor, self.running_var)]
        torch._foreach_lerp_(running, [mean, variance], cast(float, self.momentum))
        cast(Tensor, self.num_batches_tracked).add_(1)
        self.positions = positions


def share_statistics(network: nn.Module) -> nn.Module:
    """Replace every batch norm of a network by one over all groups, keeping its values.

    Parameters
    ----------
    network : Module
        Changed in place.

    Returns
    -------
    Module
        The same network, or the new layer in its place where it is one.
    """
    for name, child in network.named_children():
        setattr(network, name, share_statistics(child))
    if type(network) is not nn.BatchNorm2d:
        return network
    layer = SharedStatistics(network.num_features, network.eps, network.momentum)
    layer.load_state_dict(network.state_dict())
    for ours, theirs in zip(layer.parameters(), network.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return layer


class PreciseStatistics:
    """The statistics of batch norm over many batches, in place of a moving average of few.

    Parameters
    ----------
    network : Module
        In train mode; layers of it in eval mode keep their statistics.

    References
    ----------
    .. [1] Y. Wu and J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021; the weights are those of
       fvcore's ``update_bn_stats``.
    """

    def __init__(self, network: nn.Module) -> None:
        self._layers = [
            layer
            for layer in network.modules()
            if isinstance(layer, SharedStatistics) and layer.training
        ]
        self._sums = [torch.zeros(0)] * len(self._layers)

    @torch.no_grad()
    def measure(self, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
        """Send batches through the network, and set its statistics to those over all of them."""
        momenta = [layer.momentum for layer in self._layers]
        for layer in self._layers:
            layer.momentum = 1.0  # its running values are then those of the last batch
        try:
            for batch in batches:
                forward(batch)
                self._sums = [*map(_added, self._sums, self._layers)]
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum
        for layer, sums in zip(self._layers, self._sums, strict=True):
            mean, square = (sums[1:] / sums[0]).chunk(2)
            cast(Tensor, layer.running_mean).copy_(mean)
            cast(Tensor, layer.running_var).copy_(square - mean * mean)


def _added(sums: Tensor, layer: SharedStatistics) -> Tensor:
    """Add a batch to the sums of a layer: of its weight, its means and its mean squares."""
    count = layer.positions.double()
    mean = cast(Tensor, layer.running_mean).double()
    variance = cast(Tensor, layer.running_var).double()
    square = mean * mean + variance * (count - 1) / count
    batch = torch.cat([count[None], count * mean, count * square])
    return batch + sums if len(sums) else batch
