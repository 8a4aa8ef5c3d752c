"""Which device to compute on, and how exactly."""

from typing import Literal, cast

import torch
from torch import Tensor

from dilo.pipeline.errors import DiloError

Precision = Literal["fp32", "bf16", "fp16"]
#: What autocast computes in.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Find the device that an option names."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DiloError(
            "--device cuda needs a GPU that torch can use, got none: "
            "check nvidia-smi and torch.cuda.is_available(), or give --device cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def gpus() -> int:
    """Count the GPUs that this process may use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_name(index: int) -> str:
    """Name a GPU as no other is named, whatever number a process sees it under."""
    return f"gpu-{torch.cuda.get_device_properties(index).uuid}"


def choose_precision(name: str, device: torch.device) -> Precision:
    """Find the precision of matrix products and convolutions that an option names."""
    gpu = device.type == "cuda"
    able = gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "auto":
        return "bf16" if able else "fp16" if gpu else "fp32"
    if name == "bf16" and gpu and not able:
        raise DiloError(
            "--precision bf16 needs a GPU that computes in bfloat16, got "
            f"{torch.cuda.get_device_name(device)}: give fp16 or fp32"
        )
    if name == "fp16" and not gpu:
        raise DiloError("--precision fp16 needs a GPU, got a CPU: give bf16 or fp32")
    return cast(Precision, name)


def device_name(device: torch.device) -> str:
    """Name a device as its maker does."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def move(values: Tensor, device: torch.device) -> Tensor:
    """Move small values to a device without waiting, which takes pinned memory."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
