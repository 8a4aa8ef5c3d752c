"""The file of a network's weights: found, and told apart from every other."""

import hashlib
from pathlib import Path

from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import CheckpointError, require_access

#: Where a run of training keeps its checkpoints; the newest has the last name.
_CHECKPOINTS = "checkpoints/step-*.pt"
#: Where it says what it was asked for.
FACTS = "run.json"
#: Pixels that no network's masks are larger than.
_LARGEST_SIDE = 2**14


def weights_file(given: Path) -> Path:
    """Find the file that an option names.

    Parameters
    ----------
    given : Path
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
    if given.is_file():
        return given
    if found := sorted(given.glob(_CHECKPOINTS)):
        return found[-1]
    if given.is_dir():
        got = "a folder without them"
    else:
        got = "a pipe or a device" if given.exists() else "nothing there"
    raise CheckpointError(
        f"--weights {given} must be a file of weights, or a run with {_CHECKPOINTS}, "
        f"got {got}: check the path"
    )


def trained_side(given: Path) -> int | None:
    """Find the side that a network for saliency was trained to make masks at.

    Parameters
    ----------
    given : Path
        As `weights_file` takes it.

    Returns
    -------
    int or None
        In pixels; None of a file, and of what is no run of a training for saliency.
    """
    try:
        side = read_json(given / FACTS)["recipe"]["data"]["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return side if type(side) is int and 0 < side <= _LARGEST_SIDE else None


def weights_digest(file: Path) -> str:
    """Tell weights from all others, wherever they lie.

    Parameters
    ----------
    file : Path
        The file.

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
        raise CheckpointError(f"--weights {file}: cannot be read: {error.strerror}") from error
