"""What only some users install: asked for before it is needed, in a sentence."""

import sys
from importlib.util import find_spec


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
    missing = [name for name in ("torch", "torchvision") if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"Error: {program} needs {' and '.join(missing)}: pip install 'dilo[train]'\n"
        )
        raise SystemExit(3)
