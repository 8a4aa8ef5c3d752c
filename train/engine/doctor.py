"""What would break or slow down a training on this machine: torch, GPUs, memory, cores, masks."""

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import distributed

from dilo.pipeline.common.disk import gigabytes
from dilo.pipeline.common.printing import counted
from dilo.pipeline.compute.workercount import usable_cores
from dilo.pipeline.doctor import Check, machine, run_checks, shared_memory
from dilo.pipeline.doctor.report import Diagnosis, Finding
from dilo.pipeline.errors import DiloError
from dilo.train.data.images import find_image_set
from dilo.train.data.loader import prefetch_factor, sample_bytes
from dilo.train.recipes.recipe import Recipe, uses_of_masks
from dilo.train.runtime.devices import choose_precision, driver_version, gpus, probe_cuda

#: Cores of each GPU below which decoding is sure to hold it up.
FEW_CORES = 4
#: Views of an image that a method learns from, at most.
VIEWS = 2


@dataclass(frozen=True, kw_only=True)
class Plans:
    """What is to be trained, as far as it is said."""

    recipe: Recipe
    images: Path | None = None
    masks: Path | None = None
    #: Processes of each rank that decode.
    workers: int
    #: Parts that a batch is taken in.
    parts: int = 1


def examine(plans: Plans) -> Diagnosis:
    """Check this machine for a training, in a few seconds."""
    return Diagnosis(plans.images or Path.cwd(), run_checks(_checks(plans)))


def _checks(plans: Plans) -> Iterator[Check]:
    """List the checks."""
    yield "torch", lambda: [torch_build()]
    yield "GPU", lambda: gpu_findings(*probe_cuda(), _gpu_facts())
    yield "NCCL", lambda: [nccl(gpus(), distributed.is_nccl_available())]
    yield "cores", lambda: [cores(usable_cores(), gpus(), plans.workers)]
    if sys.platform == "linux" and plans.workers:
        needed = loader_bytes(plans.recipe, plans.workers, plans.parts, max(1, gpus()))
        yield "/dev/shm", lambda: [shared_memory(needed=needed)]
    yield "open files", lambda: [machine.open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))]
    yield "compiler", lambda: [compiler(shutil.which(os.environ.get("CC", "cc")))]
    if plans.images is not None:
        yield "images", lambda: [images_and_masks(plans)]


def torch_build() -> Finding:
    """Name torch, and what it is built for."""
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    versions = f"torch {torch.__version__} ({cuda}), torchvision {torchvision.__version__}"
    return Finding("torch", "ok", f"{versions}, Python {platform.python_version()}")


def _gpu_facts() -> list[tuple[str, int]]:
    """Name each GPU, with its bytes of memory."""
    properties: list[Any] = [torch.cuda.get_device_properties(index) for index in range(gpus())]
    return [(each.name, each.total_memory) for each in properties]


def gpu_findings(usable: bool, fault: str, facts: Sequence[tuple[str, int]]) -> list[Finding]:
    """Judge the GPUs: whether torch can use them, their memory, precision and driver."""
    if fault:
        advice = "update the driver, install a torch for it, or train with --device cpu"
        return [Finding("GPU", "breaks", fault, advice)]
    if not usable:
        advice = "training takes place on the CPU: enough for small recipes alone"
        return [Finding("GPU", "slow", "none of NVIDIA's; others are not used", advice)]
    names = ", ".join(f"{name} ({gigabytes(memory)})" for name, memory in facts)
    precision = choose_precision("auto", torch.device("cuda"))
    state = f"{names}; driver {driver_version()}; computes in {precision}"
    if len({name for name, _ in facts}) > 1:
        advice = "the slowest decides: select equal ones with CUDA_VISIBLE_DEVICES"
        return [Finding("GPU", "slow", state, advice)]
    return [Finding("GPU", "ok", state)]


def nccl(count: int, available: bool) -> Finding:
    """Judge whether several GPUs can train together."""
    if available:
        version: Any = torch.cuda.nccl.version() if count else ()  # type: ignore[no-untyped-call]
        return Finding("NCCL", "ok", ".".join(map(str, version)) or "built in")
    if count > 1:
        advice = "several GPUs need it: install torch as pytorch.org says"
        return Finding("NCCL", "breaks", "this torch has none", advice)
    return Finding("NCCL", "ok", "this torch has none, one process needs none")


def cores(usable: int, count: int, workers: int) -> Finding:
    """Compare the cores with the GPUs that they feed: a rank trains on each."""
    ranks = max(1, count)
    share = usable // ranks
    state = (
        f"{counted(usable, 'core')} for {counted(ranks, 'rank')}, {counted(workers, 'worker')} each"
    )
    if workers * ranks > usable:
        advice = f"more workers than cores are no faster: give --workers {max(1, share - 1)}"
        return Finding("cores", "slow", state, advice)
    if count and share < FEW_CORES:
        advice = "decoding will hold up the GPU: dilo-train --bench says how many cores it takes"
        return Finding("cores", "slow", state, advice)
    return Finding("cores", "ok", state)


def loader_bytes(recipe: Recipe, workers: int, parts: int, ranks: int) -> int:
    """Estimate what the batches that the loaders of this machine read ahead take, in bytes."""
    masked = 1.0 if recipe.moco.swap_negatives else recipe.paste.probability
    sample = sample_bytes(recipe.views.size, views=VIEWS, masked=masked)
    batch = recipe.optimizer.batch // (parts * ranks) * sample
    return ranks * workers * prefetch_factor(workers, batch) * batch


def compiler(path: str | None) -> Finding:
    """Look for the C compiler that --compile needs."""
    if path is None:
        return Finding("compiler", "ok", "none", "--compile would fail: install gcc for it")
    return Finding("compiler", "ok", path)


def images_and_masks(plans: Plans) -> Finding:
    """Check whether the masks are those of the images, and the images fill a batch."""
    recipe = plans.recipe
    try:
        source = find_image_set(plans.images or Path(), plans.masks, recipe.paste.min_coverage)
    except DiloError as error:
        return Finding("images", "breaks", str(error))
    state = source.share()
    if plans.masks is None and (uses := uses_of_masks(recipe)):
        advice = f"this recipe {' and '.join(uses)}: give --masks"
        return Finding("images", "breaks", f"{state}, no masks", advice)
    if len(source.indices) < recipe.optimizer.batch:
        batch = recipe.optimizer.batch
        advice = f"a batch has {batch}: --set optimizer.batch={len(source.indices)} or less"
        return Finding("images", "breaks", state, advice)
    if source.never_pasted:
        state += f", {source.never_pasted} never pasted because their mask covers too little"
    return Finding("images", "ok", state)
