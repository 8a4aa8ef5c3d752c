"""The file of a network's weights: found, and told apart from every other."""

import hashlib
import json
from pathlib import Path

from dilo.pipeline.errors import CheckpointError

#: Where a run of training keeps its checkpoints; the newest has the last name.
CHECKPOINTS = "checkpoints/step-*.pt"
#: Where it says what it was asked for.
FACTS = "run.json"


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
    if found := sorted(given.glob(CHECKPOINTS)):
        return found[-1]
    got = "a folder without them" if given.is_dir() else "nothing there"
    raise CheckpointError(
        f"--weights {given} must be a file of weights, or a run with {CHECKPOINTS}, "
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
        facts = json.loads((given / FACTS).read_text())
        side = facts["recipe"]["data"]["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return side if isinstance(side, int) else None


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
        raise CheckpointError(f"--weights {file}: cannot be read: {error.strerror}") from error
