"""What only some users install: asked for before it is needed, in a sentence."""

import sys
from importlib import import_module
from importlib.util import find_spec


def require(program: str, packages: tuple[str, ...], extra: str, *, instead: str = "") -> None:
    """End a program that needs packages which are not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        message = f"{program} needs {' and '.join(missing)}: pip install 'dilo[{extra}]'"
        sys.stderr.write(f"Error: {message}{instead}\n")
        raise SystemExit(3)
    if "matplotlib" in packages:  # while no thread runs that a change of folder could lead astray
        import_module("matplotlib")


def require_torch(program: str) -> None:
    """End a program that needs torch where torch is not installed."""
    require(program, ("torch", "torchvision"), "train")
