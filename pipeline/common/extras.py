"""What only some users install: asked for before it is needed, in a sentence."""

import sys
from importlib import import_module
from importlib.util import find_spec


def require(program: str, packages: tuple[str, ...], extra: str, *, instead: str = "") -> None:
    """End a program that needs packages which are not installed.

    Parameters
    ----------
    program : str
        Its name, for the message.
    packages : tuple of str
        What it imports.
    extra : str
        The extra of dilo that brings them.
    instead : str, default ""
        What else the user could do, to end the sentence.

    Raises
    ------
    SystemExit
        With status 3, after saying which extra to install.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        needed = f"{program} needs {' and '.join(missing)}: pip install 'dilo[{extra}]'"
        sys.stderr.write(f"Error: {needed}{instead}\n")
        raise SystemExit(3)
    if "matplotlib" in packages:  # while no thread runs that a change of folder could lead astray
        import_module("matplotlib")


def require_torch(program: str) -> None:
    """End a program that needs torch where torch is not installed.

    Parameters
    ----------
    program : str
        Its name, for the message.

    Raises
    ------
    SystemExit
        With status 3, after saying which extra to install.
    """
    require(program, ("torch", "torchvision"), "train")
