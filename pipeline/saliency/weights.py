"""The file of a network's weights: found, and told apart from every other."""

import hashlib
from pathlib import Path

from dilo.pipeline.errors import DiloError

#: Where a run of training keeps its checkpoints; the newest has the last name.
CHECKPOINTS = "checkpoints/step-*.pt"


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
    DiloError
        If there is none.
    """
    if not given.is_dir():
        if given.exists():
            return given
        raise DiloError(f"--weights {given} must be a file of weights, got nothing there")
    found = sorted(given.glob(CHECKPOINTS))
    if not found:
        raise DiloError(
            f"--weights {given} must be a file of weights, or a run with checkpoints, got a folder "
            f"without {CHECKPOINTS}: give the file itself"
        )
    return found[-1]


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
    DiloError
        If it cannot be read.
    """
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DiloError(f"--weights {file}: cannot be read: {error.strerror}") from error
