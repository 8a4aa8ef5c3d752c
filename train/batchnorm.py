"""Batch norm in groups: one device normalises its batch as that many devices would."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Normalise consecutive parts of the batch by their own statistics, in training.

    With as many groups as devices, each part is what one device would hold: statistics
    of different parts do not mix, which is what shuffled batch norm needs to hide from
    the query which samples its key was encoded with. The running statistics are the
    mean over the groups. In eval mode it is ordinary batch norm, and its state dict is
    that of `BatchNorm2d`.

    Parameters
    ----------
    num_features : int
        Channels.
    groups : int
        Parts of the batch; must divide it.
    """

    def __init__(self, num_features: int, groups: int) -> None:
        super().__init__(num_features)
        self.groups = groups

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, scale and shift.

        Parameters
        ----------
        images : Tensor of shape (B, C, H, W)
            Activations.

        Returns
        -------
        Tensor of shape (B, C, H, W)
            Of zero mean and unit variance a channel and group, then scaled and shifted.

        Raises
        ------
        ValueError
            In training, if the groups do not divide the batch.
        """
        if not self.training or self.groups == 1:
            return super().forward(images)
        if len(images) % self.groups:
            raise ValueError(
                f"batch must be a multiple of {self.groups} groups, got {len(images)} samples"
            )
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise ValueError("running statistics must be tracked with a fixed momentum")
        means = self.running_mean.repeat(self.groups, 1)
        variances = self.running_var.repeat(self.groups, 1)
        parts = [
            functional.batch_norm(
                part, means[g], variances[g], self.weight, self.bias, True, self.momentum, self.eps
            )
            for g, part in enumerate(images.chunk(self.groups))
        ]
        with torch.no_grad():
            self.running_mean.copy_(means.mean(0))
            self.running_var.copy_(variances.mean(0))
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return torch.cat(parts)


def group_batch_norm(network: nn.Module, groups: int) -> nn.Module:
    """Replace every batch norm of a network by one in groups, keeping its values.

    Parameters
    ----------
    network : Module
        Changed in place.
    groups : int
        Parts of the batch.

    Returns
    -------
    Module
        The same network.
    """
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                grouped = GroupedBatchNorm2d(child.num_features, groups)
                grouped.load_state_dict(child.state_dict())
                setattr(module, name, grouped)
    return network
