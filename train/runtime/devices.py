"""Which device to compute on, how exactly, and whether torch can use it at all."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.pipeline.errors import DiloError

Precision = Literal["fp32", "bf16", "fp16"]
#: What autocast computes in.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
#: Where NVIDIA's driver says its version; missing where it is not loaded.
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
#: cuBLAS adds in one order only with a workspace of a fixed size.
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def choose_device(name: str) -> torch.device:
    """Find the device that an option names; a GPU that torch cannot use is an error."""
    if name == "cpu":
        return torch.device(name)
    usable, fault = probe_cuda()
    if usable:
        return torch.device("cuda" if name == "auto" else name)
    if name == "auto" and not fault:
        return torch.device("cpu")
    raise DiloError(
        f"--device {name} needs a GPU that torch can use, got {fault or 'none'}: "
        "check nvidia-smi and torch.cuda.is_available(), or give --device cpu"
    )


def probe_cuda() -> tuple[bool, str]:
    """Check whether torch can use a GPU; if it cannot though there is one, say why."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        try:
            capability, kernels = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
        except RuntimeError as error:  # of a GPU that is there, but damaged or not to be shared
            return False, str(error).partition("\n")[0]
        if has_kernels(capability, kernels):
            return True, ""
        major, minor = capability
        return False, (
            f"{torch.cuda.get_device_name()} of compute capability {major}.{minor}, which torch "
            f"{torch.__version__} is not built for ({', '.join(kernels)})"
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not NVIDIA_DRIVER.exists():
        return False, ""
    reasons = [str(warning.message).partition(" (Triggered")[0] for warning in caught]
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return False, (
        f"NVIDIA driver {driver_version()}, by which torch {torch.__version__}, {built}, sees no "
        f"GPU{f' ({reasons[0]})' if reasons else ''}"
    )


def driver_version() -> str:
    """Read the version of NVIDIA's driver; empty where there is none."""
    try:
        words = NVIDIA_DRIVER.read_text().split()
    except OSError:
        return ""
    return next((word for word in words if word[:1].isdigit() and "." in word), "of no version")


def has_kernels(capability: tuple[int, int], kernels: Sequence[str]) -> bool:
    """Check whether one of torch's kernels runs on a GPU of a compute capability.

    Examples
    --------
    >>> has_kernels((8, 9), ["sm_80", "sm_90"])
    True
    >>> has_kernels((7, 0), ["sm_75", "sm_80"])
    False
    """
    for kernel in kernels:
        kind, _, digits = kernel.partition("_")
        number = int("".join(digit for digit in digits if digit.isdigit()) or 0)
        built = divmod(number, 10)
        # Machine code serves its own generation from its number on, PTX every later one.
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return not kernels


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


def describe_device(device: torch.device, precision: Precision, ranks: int) -> str:
    """Say where, and in what, is computed."""
    several = f"{ranks} x " if ranks > 1 else ""
    name = device_name(device) if device.type == "cuda" else "the CPU"
    return f"on {several}{name}, {precision}"


@contextlib.contextmanager
def kernel_choice(*, deterministic: bool, trials: bool = True) -> Iterator[None]:
    """Let torch choose the fastest kernels by trial, or those that always add in one order.

    Without `trials`, it chooses by rules: where each step has other shapes, trials never end.

    Raises
    ------
    DiloError
        If an operation has no such kernel.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault(_CUBLAS, ":4096:8")  # read when the first matrix is multiplied
        torch.use_deterministic_algorithms(True)
        cudnn.benchmark, cudnn.deterministic = False, True
    elif trials and not cudnn.deterministic:
        # Shapes do not change while a network trains: trying kernels out costs seconds, once.
        cudnn.benchmark = True
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        operation = str(error).split(" ", 1)[0]
        raise DiloError(
            f"--deterministic needs kernels that always add in one order, torch "
            f"{torch.__version__} has none for {operation}: leave --deterministic out"
        ) from error
    finally:
        cudnn.benchmark, cudnn.deterministic, enabled = before
        torch.use_deterministic_algorithms(enabled)


def move_images(pixels: NDArray[Any], device: torch.device) -> Tensor:
    """Move images (B, H, W, 3) to a device, as (B, 3, H, W) with channels last in memory."""
    return move(torch.from_numpy(pixels), device).permute(0, 3, 1, 2)


def move(values: Tensor, device: torch.device) -> Tensor:
    """Move small values to a device without waiting, which takes pinned memory."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
