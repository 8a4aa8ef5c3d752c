"""Batch norm of each of some groups, as one operator of torch: by Triton on GPUs, else by a loop.

As one operator it is one call, one node of autograd and one of a compiled graph, for any number of
groups. On CPUs torch's own kernels, one call a group, are the fastest there are.
"""

import functools
import importlib
import os
import warnings
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor

from dilo.pipeline.common.compiled import CACHE

FORWARD, BACKWARD = "dilo::grouped_batch_norm", "dilo::grouped_batch_norm_backward"


def grouped_batch_norm(
    values: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise consecutive groups of a batch, each by its own statistics.

    Parameters
    ----------
    values : Tensor of shape (B, C, ...)
        Activations, of any precision.
    weight, bias : Tensor of shape (C,)
        Scale and shift.
    groups : int
        How many; divides B.
    eps : float
        Added to variances.

    Returns
    -------
    result : Tensor of shape (B, C, ...)
        In the type and layout of the values.
    mean, variance : Tensor of shape (C,)
        Means over the groups of mean and unbiased variance, for running statistics; no gradient
        flows from them.
    """
    return cast(tuple[Tensor, Tensor, Tensor], _Normalise.apply(values, weight, bias, groups, eps))


class _Normalise(torch.autograd.Function):
    """The operators, as autograd takes them: cheaper than by torch.library.register_autograd."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        operator: Any = torch.ops.dilo.grouped_batch_norm
        result, means, invstds, mean, variance = operator(*inputs)
        values, weight, _, _, ctx.eps = inputs
        ctx.save_for_backward(values, weight, means, invstds)
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return result, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        operator: Any = torch.ops.dilo.grouped_batch_norm_backward
        return (*operator(gradients[0], *ctx.saved_tensors, ctx.eps), None, None)


def forward_by_loop(
    values: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, ...]:
    """Compute the result, mean and inverse deviation of each group, and the means over them."""
    result = torch.empty_like(values)
    # With a momentum of 1, running statistics are a group's own, its variance unbiased.
    means, variances = weight.new_zeros(2, groups, len(weight))
    saved, invstds = torch.empty_like(means), torch.empty_like(means)
    parts = zip(values.chunk(groups), result.chunk(groups), strict=True)
    for g, (part, into) in enumerate(parts):
        torch.ops.aten.native_batch_norm.out(
            part, weight, bias, means[g], variances[g], True, 1.0, eps,
            out=into, save_mean=saved[g], save_invstd=invstds[g],
        )  # fmt: skip
    return result, saved, invstds, means.mean(0), variances.mean(0)


def backward_by_loop(
    gradient: Tensor, values: Tensor, weight: Tensor, means: Tensor, invstds: Tensor, eps: float
) -> tuple[Tensor, ...]:
    """Compute the gradients of values, weight and bias."""
    groups = len(means)
    result = torch.empty_like(values)
    of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(weight)
    parts = zip(gradient.chunk(groups), values.chunk(groups), result.chunk(groups), strict=True)
    # From the last to the first, as autograd would add them.
    for g, (slope, part, into) in reversed(list(enumerate(parts))):
        of_part, *others = torch.ops.aten.native_batch_norm_backward(
            slope, part, weight, None, None, means[g], invstds[g], True, eps, [True] * 3
        )
        into.copy_(of_part)
        of_weight += others[0]
        of_bias += others[1]
    return result, of_weight, of_bias


def _forward_on_gpu(
    values: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, ...]:
    if not _are_rows(values) or (kernels := _kernels()) is None:
        return forward_by_loop(values, weight, bias, groups, eps)
    return cast(tuple[Tensor, ...], kernels.forward(values, weight, bias, groups, eps))


def _backward_on_gpu(
    gradient: Tensor, values: Tensor, weight: Tensor, means: Tensor, invstds: Tensor, eps: float
) -> tuple[Tensor, ...]:
    if not _are_rows(values) or (kernels := _kernels()) is None:
        return backward_by_loop(gradient, values, weight, means, invstds, eps)
    return cast(tuple[Tensor, ...], kernels.backward(gradient, values, weight, means, invstds))


def _are_rows(values: Tensor) -> bool:
    """Check that the channels of a pixel lie together, in a precision that the kernels have."""
    if values.dtype is torch.float64:
        return False
    if values.ndim == 4:
        return values.is_contiguous(memory_format=torch.channels_last)
    return values.ndim == 2 and values.is_contiguous()


@functools.cache
def _kernels() -> ModuleType | None:
    """Import the kernels for GPUs and try them; there are none where Triton cannot compile."""
    if CACHE.folder is not None:
        os.environ.setdefault("TRITON_CACHE_DIR", str(CACHE.folder / "triton"))
    try:
        kernels = importlib.import_module("dilo.train.networks.grouped_norm_kernels")
        kernels.forward(*torch.ones(3, 1, 1, device="cuda"), 1, 1.0)
    except Exception as error:  # what Triton raises on the way is of many kinds
        warnings.warn(
            "batch norm in groups computes one group after the other, which is slow: Triton must "
            f"compile its kernels, got {type(error).__name__}: {error}. It needs a C compiler and "
            "the headers of Python (apt install gcc python3-dev)",
            stacklevel=2,
        )
        return None
    return kernels


def _forward_shapes(
    values: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, ...]:
    of_groups = [weight.new_empty(groups, len(weight)) for _ in range(2)]
    over_groups = [torch.empty_like(weight) for _ in range(2)]
    return (torch.empty_like(values), *of_groups, *over_groups)


def _backward_shapes(
    gradient: Tensor, values: Tensor, weight: Tensor, means: Tensor, invstds: Tensor, eps: float
) -> tuple[Tensor, ...]:
    return torch.empty_like(values), torch.empty_like(weight), torch.empty_like(weight)


def _register() -> None:
    """Tell torch of the operators: what they take and give, and who computes it where."""
    given = "Tensor values, Tensor weight, Tensor bias, int groups, float eps"
    torch.library.define(FORWARD, f"({given}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
    given = "Tensor gradient, Tensor values, Tensor weight, Tensor means, Tensor invstds, float eps"
    torch.library.define(BACKWARD, f"({given}) -> (Tensor, Tensor, Tensor)")
    torch.library.impl(FORWARD, "default", forward_by_loop)
    torch.library.impl(BACKWARD, "default", backward_by_loop)
    torch.library.impl(FORWARD, "cuda", _forward_on_gpu)
    torch.library.impl(BACKWARD, "cuda", _backward_on_gpu)
    torch.library.register_fake(FORWARD, _forward_shapes)
    torch.library.register_fake(BACKWARD, _backward_shapes)


_register()
