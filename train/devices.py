"""Which device to compute on, and how exactly."""

import torch
from torch import Tensor

from dilo.pipeline.errors import DiloError


def choose_device(name: str) -> torch.device:
    """Find the device that an option names.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        "auto" is a GPU where there is one.

    Returns
    -------
    device
        To put tensors on.

    Raises
    ------
    DiloError
        If a GPU is asked for and torch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DiloError(
            "--device cuda needs a GPU that torch can use, got none: "
            "check nvidia-smi and torch.cuda.is_available(), or give --device cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Tell whether matrix products run in bfloat16.

    Parameters
    ----------
    precision : {"auto", "bf16", "fp32"}
        "auto" is bfloat16 on a GPU that computes in it, float32 elsewhere.
    device : device
        Where the network is.

    Returns
    -------
    bool
        True for bfloat16.

    Raises
    ------
    DiloError
        If it is asked for on a GPU that lacks it.
    """
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and device.type == "cuda" and not able:
        raise DiloError("--precision bf16 needs a GPU that computes in bfloat16: give fp32")
    return able if precision == "auto" else precision == "bf16"


def move(values: Tensor, device: torch.device) -> Tensor:
    """Move small values to a device without waiting, which takes pinned memory.

    Parameters
    ----------
    values : Tensor
        On the CPU.
    device : torch.device
        Where to.

    Returns
    -------
    Tensor
        There.
    """
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
