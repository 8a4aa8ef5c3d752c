"""Batch norm in groups: any number of devices normalises a batch as any other would."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from dilo.pipeline.errors import RecipeError
from dilo.train.networks.grouped_norm import grouped_batch_norm
from dilo.train.runtime import distributed


class _Grouped(nn.modules.batchnorm._BatchNorm):
    """Normalise parts of the batch, of a fixed number of samples, each by itself.

    In training, consecutive samples form a group, and are normalised by their own statistics:
    what a device that held them alone would do. Statistics of different groups do not mix,
    which is what shuffled batch norm needs to hide from the query which samples its key was
    encoded with. The running statistics are the mean over the groups. In eval mode it is
    ordinary batch norm, and its state dict is that of the class it derives from.

    Parameters
    ----------
    num_features : int
        Channels.
    size : int
        Samples in a group; must divide what a rank holds.
    """

    def __init__(self, num_features: int, size: int, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.size = size

    def forward(self, values: Tensor) -> Tensor:
        """Normalise, scale and shift.

        Parameters
        ----------
        values : Tensor of shape (B, C, ...)
            Activations.

        Returns
        -------
        Tensor of shape (B, C, ...)
            Of zero mean and unit variance a channel and group, then scaled and shifted.

        Raises
        ------
        ValueError
            In training, if the batch is no multiple of the group.
        """
        if not self.training or self.size == len(values):
            return super().forward(values)
        if len(values) % self.size:
            raise ValueError(
                f"batch must be a multiple of the group of {self.size} samples, got {len(values)}"
            )
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise ValueError("running statistics must be tracked with a fixed momentum")
        weight = self.weight if self.affine else torch.ones_like(self.running_mean)
        bias = self.bias if self.affine else torch.zeros_like(self.running_mean)
        groups = len(values) // self.size
        result, mean, variance = grouped_batch_norm(values, weight, bias, groups, self.eps)
        running = [self.running_mean, self.running_var]
        torch._foreach_lerp_(running, [mean, variance], self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return result


class GroupedBatchNorm1d(_Grouped, nn.BatchNorm1d):
    """`BatchNorm1d` by groups of so many samples."""


class GroupedBatchNorm2d(_Grouped, nn.BatchNorm2d):
    """`BatchNorm2d` by groups of so many samples."""


_KINDS: dict[type[nn.Module], type[_Grouped]] = {
    nn.BatchNorm1d: GroupedBatchNorm1d,
    nn.BatchNorm2d: GroupedBatchNorm2d,
}


def group_batch_norm(network: nn.Module, size: int | None) -> nn.Module:
    """Replace every batch norm of a network by one in groups, keeping its values.

    Parameters
    ----------
    network : Module
        Changed in place.
    size : int or None
        Samples in a group; None: those of all ranks together, by `SyncBatchNorm`.

    Returns
    -------
    Module
        The same network.

    Raises
    ------
    RecipeError
        If samples of several ranks would meet on CPUs, for which torch has no such batch norm.
    """
    if size is not None:
        for module in network.modules():
            for name, child in module.named_children():
                if type(child) in _KINDS:
                    setattr(module, name, _group(cast(nn.BatchNorm2d, child), size))
        return network
    ranks = distributed.world_size()
    if ranks == 1 or not any(type(module) in _KINDS for module in network.modules()):
        return network
    if not distributed.on_gpus():
        raise RecipeError(
            f"model.bn_groups must be a multiple of {ranks} on {ranks} processes without GPUs, got "
            f"1: --set model.bn_groups={ranks}, or train in one process"
        )
    convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm  # torch leaves it untyped
    return cast(nn.Module, convert(network))


def _group(plain: nn.BatchNorm2d, size: int) -> nn.Module:
    """Make a batch norm in groups of a plain one."""
    options: dict[str, Any] = {"eps": plain.eps, "momentum": plain.momentum, "affine": plain.affine}
    layer = _KINDS[type(plain)](plain.num_features, size, **options)
    layer.load_state_dict(plain.state_dict())
    for ours, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return layer
