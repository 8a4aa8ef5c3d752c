"""The file of a network's weights: found, and told apart from every other."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import CheckpointError, require_access

#: Where a run of training keeps its checkpoints; the newest has the last name.
_CHECKPOINTS = "checkpoints/step-*.pt"
#: Where it says what it was asked for.
_RUN_RECORD = "run.json"
#: Pixels that no network's masks are larger than.
_MAX_SIDE = 2**14


def weights_file(path: Path) -> Path:
    """Find the file that an option names.

    Parameters
    ----------
    path : Path
        The file, or the folder of a run, which stands for its newest checkpoint.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    if path.is_file():
        return path
    if checkpoints := sorted(path.glob(_CHECKPOINTS)):
        return checkpoints[-1]
    if path.is_dir():
        problem = "a folder without them"
    else:
        problem = "a pipe or a device" if path.exists() else "nothing there"
    raise CheckpointError(
        f"--weights {path} must be a file of weights, or a run with {_CHECKPOINTS}, "
        f"got {problem}: check the path"
    )


def trained_side(path: Path) -> int | None:
    """Find the side that a network for saliency was trained to make masks at.

    Parameters
    ----------
    path : Path
        As `weights_file` takes it.

    Returns
    -------
    int or None
        In pixels; None of a file, and of what is no run of a training for saliency.
    """
    try:
        side = read_json(path / _RUN_RECORD)["recipe"]["data"]["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return side if type(side) is int and 0 < side <= _MAX_SIDE else None


def read_trained_side(weights: Path, values: Mapping[str, Any]) -> dict[str, int]:
    """Read which side weights decide: a network knows the scale that it was trained at.

    Parameters
    ----------
    weights : Path
        As `weights_file` takes it.
    values : mapping
        Not needed.

    Returns
    -------
    dict
        The parameter ``side``, of the run of a training for saliency; else nothing.
    """
    side = trained_side(weights)
    return {} if side is None else {"side": side}


def weights_digest(file: Path, option: str = "--weights") -> str:
    """Digest weights, which tells them from all others, wherever they lie.

    Parameters
    ----------
    file : Path
        The file.
    option : str, default "--weights"
        Which names it, for messages.

    Returns
    -------
    str
        SHA-256 of its bytes, as 64 hexadecimal digits.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        require_access(error, file)
        raise CheckpointError(f"{option} {file}: cannot be read: {error.strerror}") from error
