"""What to do where the device has no room for a step."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from dilo.pipeline.common.disk import gigabytes
from dilo.pipeline.errors import DiloError

#: What libraries say in an ordinary error where their own memory ran out.
_ALLOCATION_FAILED = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")


@contextlib.contextmanager
def advice_on_memory(what: str, device: torch.device, advice: Callable[[], str]) -> Iterator[None]:
    """Turn the error of a full device into a sentence: what had no room, and what to do."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(
            words in str(error) for words in _ALLOCATION_FAILED
        ):
            raise
        raise DiloError(f"the device has no room for {what}{_room(device)}: {advice()}") from error


def _room(device: torch.device) -> str:
    """Say how much memory a GPU has, and what of it is taken."""
    if device.type != "cuda":
        return ""
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    others = total - free - own
    note = f", of which others use {gigabytes(others)}" if others > total / 20 else ""
    return f" ({torch.cuda.get_device_name(device)} of {gigabytes(total)}{note})"


def advice_on_parts(batch: int, parts: int, allowed: Callable[[int], bool]) -> str:
    """Advise to take a batch in more parts, in the fewest that are allowed."""
    for more in range(parts + 1, batch + 1):
        if allowed(more):
            return f"give --accumulate {more}, which needs about {parts}/{more} of it"
    return f"give a smaller --set optimizer.batch than {batch}, or another device"
