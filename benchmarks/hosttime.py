"""Count the calls of a training step, and time what they cost the host: one JSON line.

    python benchmarks/hosttime.py
    python benchmarks/hosttime.py --arch resnet18 --groups 8 --precision fp32

A GPU waits for the host where a step's calls take longer to make than to compute. Here they are
made on a CPU, of MoCo v2 with next to no channels and pixels, so that little but making them is
left: Python, autograd and torch's dispatcher, on one core. Batch norm in groups, whose kernels on
GPUs are Triton's, gives zeros here; the three launches each way that it takes there are not in it.
"""

import argparse
import collections
import json
import platform
import statistics
import time
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dilo.train.engine.optim import make_optimizer
from dilo.train.engine.trainer import Optimization
from dilo.train.methods import make_method
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.networks import grouped_norm
from dilo.train.recipes import load_recipe
from dilo.train.runtime.options import RunOptions

BATCH, SIZE = 16, 32
CPU = torch.device("cpu")


class Count(TorchDispatchMode):
    """Count the calls that reach torch's kernels, views and allocations too."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.name().partition("::")[2]] += 1
        return func(*args, **(kwargs or {}))


def norm_nothing(
    values: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, ...]:
    """Stand in for the kernels of batch norm in groups."""
    of_groups = [weight.new_zeros(groups, len(weight)) for _ in range(2)]
    return torch.zeros_like(values), *of_groups, torch.zeros_like(weight), torch.ones_like(weight)


def norm_nothing_back(
    gradient: Tensor, values: Tensor, weight: Tensor, means: Tensor, invstds: Tensor, eps: float
) -> tuple[Tensor, ...]:
    """Stand in for those of its gradient."""
    return torch.zeros_like(values), torch.zeros_like(weight), torch.zeros_like(weight)


def measure(options: argparse.Namespace, groups: int) -> dict[str, Any]:
    """Take steps in so many groups."""
    words = {"model.arch": options.arch, "model.bn_groups": groups, "model.width": 1 / 64}
    words |= {"optimizer.batch": BATCH, "views.size": SIZE, "moco.queue": 256}
    recipe = load_recipe("moco-v2", [f"{key}={value}" for key, value in words.items()])
    method = make_method(recipe, TrainingSet(1000)).to(memory_format=torch.channels_last).train()
    machine = RunOptions(device=CPU, workers=0, precision=options.precision)
    update = Optimization(method, make_optimizer(method, recipe.optimizer), machine)
    views = torch.randn(2 * BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    batch = ViewBatch(views=views.chunk(2), samples=torch.arange(BATCH), step=0)
    seconds = []
    for _ in range(options.rounds + 2):
        begin = time.process_time()
        update.step([batch], 1, 0.1)
        seconds.append(time.process_time() - begin)
    with Count() as count:
        update.step([batch], 1, 0.1)
    return {
        "calls": count.calls.total(),
        "milliseconds": round(1000 * min(seconds[2:]), 1),
        "median": round(1000 * statistics.median(seconds[2:]), 1),
        "most": dict(count.calls.most_common(8)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--groups", type=int, nargs="+", default=[8, 1])
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.library.impl(grouped_norm.FORWARD, "cpu", norm_nothing)
    torch.library.impl(grouped_norm.BACKWARD, "cpu", norm_nothing_back)
    line = {
        "measured": f"the calls of a step of moco-v2, {options.arch}, and what they cost the host",
        "groups": {groups: measure(options, groups) for groups in options.groups},
        "precision": options.precision,
        "machine": platform.machine(),
        "versions": {"torch": version("torch")},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
