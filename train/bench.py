"""How fast each stage of training is on this machine, and which of them the others wait for."""

import math
from collections.abc import Callable
from typing import Any

import torch

from dilo.pipeline.compute.workercount import usable_cores
from dilo.train.backgrounds import Stores
from dilo.train.crops import compile_ahead
from dilo.train.data import Source
from dilo.train.machine import Machine
from dilo.train.recipe import Recipe
from dilo.train.stages import Stages

#: Seconds of each stage.
SECONDS = 4.0


def bench(
    recipe: Recipe,
    source: Source,
    machine: Machine,
    stores: Stores,
    say: Callable[[str], None],
    *,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Time the stages of training, each alone and then all together; nothing is written.

    Parameters
    ----------
    recipe : Recipe
        What would be trained.
    source : Source
        Images and masks.
    machine : Machine
        Where, with how many workers, and how exactly.
    stores : mapping of int to BackgroundStore
        What the recipe pastes on, but gray and noise.
    say : callable
        Told what is measured.
    seconds : float, default 4
        For each stage, after it has warmed up.

    Returns
    -------
    dict
        Images a second, not views, of ``read``, ``decode``, ``augment``, ``network`` and
        ``whole``; ``decode_per_core``; ``read_megabytes``, a second; ``waited``, the share of
        the whole that was spent waiting for the loader; ``bottleneck``, in words; ``cores``,
        the workers that would feed the device; and what was measured on.

    Raises
    ------
    DiloError
        If the images are fewer than a batch, have no labels where the method needs them, or
        the device has no room for the backgrounds.
    """
    stages = Stages(recipe, source, machine, stores, seconds)
    compile_ahead(say)
    say(f"measuring five stages, each for {seconds:g} s or a little longer, once it is warm")
    read, content = stages.read()
    decode = stages.decode()
    augmented, network = stages.augment(), stages.network()
    whole, waited = stages.whole()
    a_core = decode / max(1, min(machine.workers, usable_cores()))
    device = 1 / (1 / augmented + 1 / network)
    rates = {"storage read": read, "decode and crops": decode}
    rates["network" if network < augmented else "augmentation"] = device
    return {
        "read": read,
        "read_megabytes": content / 1e6,
        "decode": decode,
        "decode_per_core": a_core,
        "augment": augmented,
        "network": network,
        "whole": whole,
        "waited": waited,
        "bottleneck": min(rates, key=rates.__getitem__),
        "cores": math.ceil(device / a_core),
        "workers": machine.workers,
        "precision": machine.precision,
        "arch": recipe.model.arch,
        "batch": recipe.optimizer.batch,
        "size": recipe.views.size,
        "views": stages.method.view_count,
        "device": _name(machine.device),
    }


def bench_table(result: dict[str, Any]) -> list[str]:
    """Lay out what `bench` found for people.

    Parameters
    ----------
    result : dict
        As `bench` gives it.

    Returns
    -------
    list of str
        Lines of up to 80 characters.
    """
    workers = f"{result['workers']} worker" + "s" * (result["workers"] != 1)
    rows = [
        ("storage read", "read", f"({result['read_megabytes']:,.0f} MB/s; a cache may serve)"),
        (f"decode and crops, {workers}", "decode", f"({_rate(result['decode_per_core'])} a core)"),
        ("augmentation", "augment", f"({result['views']} x {result['size']} px)"),
        (f"network, {result['arch']}", "network", f"({result['precision']})"),
        ("whole", "whole", f"({result['waited']:.0%} waiting for the loader)"),
    ]
    cores = f"{result['cores']} core" + "s" * (result["cores"] != 1)
    return [
        f"{'stage':<32.32}{'images/s':>10}   {result['device'][:34]}",
        *(f"{name:<32.32}{_rate(result[key]):>10}   {note}" for name, key, note in rows),
        f"bottleneck: {result['bottleneck']}; {cores} would feed this device",
    ]


def _rate(value: float) -> str:
    """Write images a second."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _name(device: torch.device) -> str:
    """Name a device as its maker does."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
