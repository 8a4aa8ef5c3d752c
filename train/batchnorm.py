"""Batch norm in groups: any number of devices normalises a batch as any other would."""

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from dilo.train import ranks


class _Grouped(nn.modules.batchnorm._BatchNorm):
    """Normalise parts of the batch of a fixed number of samples, or all that all ranks hold.

    In training, consecutive samples form a group, and are normalised by their own statistics:
    what a device that held them alone would do. Statistics of different groups do not mix,
    which is what shuffled batch norm needs to hide from the query which samples its key was
    encoded with. The running statistics are the mean over the groups. In eval mode it is
    ordinary batch norm, and its state dict is that of the class it derives from.

    Parameters
    ----------
    num_features : int
        Channels.
    size : int or None
        Samples in a group; must divide what a rank holds. None: the samples of all ranks form
        one group.
    """

    def __init__(self, num_features: int, size: int | None, **options: Any) -> None:
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
        if not self.training or self.size == len(values) or self._alone():
            return super().forward(values)
        if self.size is None:
            return self._across_ranks(values)
        if len(values) % self.size:
            raise ValueError(
                f"batch must be a multiple of the group of {self.size} samples, got {len(values)}"
            )
        return self._by_groups(values, len(values) // self.size)

    def _alone(self) -> bool:
        """Tell whether the group is all that this process holds."""
        return self.size is None and ranks.size() == 1

    def _statistics(self) -> tuple[Tensor, Tensor, float]:
        """Give running mean, running variance and their momentum."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise ValueError("running statistics must be tracked with a fixed momentum")
        return self.running_mean, self.running_var, self.momentum

    def _by_groups(self, values: Tensor, groups: int) -> Tensor:
        """Normalise each group by itself."""
        running_mean, running_var, momentum = self._statistics()
        means, variances = running_mean.repeat(groups, 1), running_var.repeat(groups, 1)
        parts = [
            functional.batch_norm(
                part, means[g], variances[g], self.weight, self.bias, True, momentum, self.eps
            )
            for g, part in enumerate(values.chunk(groups))
        ]
        with torch.no_grad():
            running_mean.copy_(means.mean(0))
            running_var.copy_(variances.mean(0))
            self._count()
        return torch.cat(parts)

    def _across_ranks(self, values: Tensor) -> Tensor:
        """Normalise all ranks' samples together, as `SyncBatchNorm` does on GPUs alone."""
        running_mean, running_var, momentum = self._statistics()
        shape = (1, -1, *(1,) * (values.ndim - 2))
        axes = [axis for axis in range(values.ndim) if axis != 1]
        count = values.numel() // values.shape[1] * ranks.size()
        exact = values.float()
        average = ranks.add_with_gradient(exact.sum(axes)) / count
        centred = exact - average.view(shape)
        variance = ranks.add_with_gradient(centred.square().sum(axes)) / count
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        with torch.no_grad():
            running_mean.lerp_(average, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
            self._count()
        if self.weight is not None:
            scaled = scaled * self.weight.view(shape)
        if self.bias is not None:
            scaled = scaled + self.bias.view(shape)
        return scaled.to(values.dtype)

    def _count(self) -> None:
        """Count a batch."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class GroupedBatchNorm1d(_Grouped, nn.BatchNorm1d):
    """`BatchNorm1d` by groups of so many samples, or, for None, by those of all ranks together."""


class GroupedBatchNorm2d(_Grouped, nn.BatchNorm2d):
    """`BatchNorm2d` by groups of so many samples, or, for None, by those of all ranks together."""


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
        Samples in a group; None: those of all ranks together, on GPUs by `SyncBatchNorm`.

    Returns
    -------
    Module
        The same network.
    """
    if size is None and ranks.size() > 1 and distributed.get_backend() == "nccl":
        convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm  # torch leaves it untyped
        return cast(nn.Module, convert(network))
    for module in network.modules():
        for name, child in module.named_children():
            if kind := _KINDS.get(type(child)):
                setattr(module, name, _grouped(cast(nn.BatchNorm2d, child), kind, size))
    return network


def _grouped(plain: nn.BatchNorm2d, kind: type[_Grouped], size: int | None) -> _Grouped:
    """Make a batch norm in groups of a plain one."""
    grouped = kind(
        plain.num_features, size, eps=plain.eps, momentum=plain.momentum, affine=plain.affine
    )
    grouped.load_state_dict(plain.state_dict())
    for ours, theirs in zip(grouped.parameters(), plain.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return grouped
