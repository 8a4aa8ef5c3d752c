"""Kernels run by Triton's interpreter, on a machine without a GPU."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from support.launching import fork, join


def run_interpreted(module: str, work: Callable[[ModuleType], object], folder: Path) -> Any:
    """Give what some work makes of a module whose kernels are interpreted: tensors, nested.

    Triton decides when it is imported whether it interprets. So a fork imports it, and the module,
    once more; all else is there already, torch first of all.
    """
    results = folder / "results"

    def interpret() -> None:
        torch.set_num_threads(1)  # a fork has none of its parent's threads
        os.environ["TRITON_INTERPRET"] = "1"
        for name in [*sys.modules]:
            # The compiler's own library, which is no Python, cannot be loaded twice.
            is_triton = name.partition(".")[0] == "triton" and not name.startswith("triton._C")
            if is_triton or name == module:
                del sys.modules[name]
        torch.save(work(importlib.import_module(module)), results)

    join([fork(interpret, folder / "errors")])
    return torch.load(results)
