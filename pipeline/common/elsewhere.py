"""Import, away from the current folder, the packages that take more than modules from there."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

#: numba reads which folder of compiled code it runs from a file in the current folder;
#: matplotlib, how plots look; a library of torch looks for others there first.
PACKAGES = ("matplotlib", "numba", "torch")


def import_elsewhere() -> None:
    """Import these packages from the root folder, from now on.

    For programs and their workers, which import them before they start a thread that a change
    of the current folder could lead astray.
    """
    if not any(isinstance(finder, _RootFolderFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _RootFolderFinder())


class _RootFolderFinder(MetaPathFinder):
    """Find what Python finds, and run it elsewhere."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one of the packages; of others know nothing, so that Python goes on."""
        spec = PathFinder.find_spec(name, path, target) if name in PACKAGES else None
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader  # whose method is replaced, in this instance
            loader.exec_module = _in_root_folder(loader.exec_module)
        return spec


def _in_root_folder(run: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    """Run a module in the root folder, and come back."""

    def run_in_root_folder(module: ModuleType) -> None:
        try:
            current = os.getcwd()
        except FileNotFoundError:  # deleted, and so empty
            run(module)
            return
        os.chdir("/")
        try:
            run(module)
        finally:
            os.chdir(current)

    return run_in_root_folder
