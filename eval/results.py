"""What a read-out found, as files: where they lie, and what each of them says."""

import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dilo.pipeline.atomic import write_text
from dilo.pipeline.errors import DiloError


def result_folder(task: str, out: Path | None, checkpoint: Path | None) -> Path:
    """Choose the folder of a result.

    Parameters
    ----------
    task : str
        The command: "linear".
    out : Path or None
        What the user asks for.
    checkpoint : Path or None
        The checkpoint, or the folder of a run.

    Returns
    -------
    Path
        What is asked for; of a run, ``RUN/eval/TASK``, where `report` looks for it.

    Raises
    ------
    DiloError
        If nothing is asked for and the checkpoint is no run's.
    """
    if out is not None:
        return out
    if checkpoint is not None and (checkpoint / "checkpoints").is_dir():
        return checkpoint / "eval" / task
    raise DiloError(
        f"--out must say where the result goes, got none: give --out DIR, or the folder of a run "
        f"as the checkpoint, for RUN/eval/{task}"
    )


def write_result(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write a record where `report` finds it.

    Parameters
    ----------
    folder : Path
        Of the result; made if it is missing.
    record : mapping of str to object
        What was found; its "task" names the file.

    Returns
    -------
    Path
        ``FOLDER/TASK.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['task']}.json"
    write_text(path, json.dumps(record) + "\n")
    return path


def provenance(started: float) -> dict[str, Any]:
    """Tell how long a result took, and by which versions.

    Parameters
    ----------
    started : float
        When it was begun, by `time.monotonic`.

    Returns
    -------
    dict
        "seconds" and "versions", to be part of every record.
    """
    versions = {name: version(name) for name in ("dilo", "torch", "torchvision", "numpy")}
    return {"seconds": round(time.monotonic() - started, 1), "versions": versions}
