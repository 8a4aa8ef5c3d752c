"""What a read-out found, as files: where they lie, and what each of them says."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilo.eval.common.inputs import inputs_of
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError, DiloError, first_few, require_access
from dilo.pipeline.images.names import escaped

if TYPE_CHECKING:  # torch takes seconds to import, and scores of masks need none of it
    from dilo.eval.models.encoder import Encoder

#: Seconds for which an empty folder may be that of a command that is about to write there.
CLAIMED = 60.0


#: Where a linear probe stands, which is there before its record.
PROBE = "training.pt"


def result_folder(task: str, out: Path | None, checkpoint: Path | None) -> Path:
    """Choose the folder of a result.

    Parameters
    ----------
    task : str
        The command: "linear".
    out : Path or None
        What the user asks for.
    checkpoint : Path or None
        The checkpoint, or the folder of a run, or what lies in its folder ``eval``.

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
    if checkpoint is not None:
        for run in (checkpoint, *checkpoint.parents):
            inside = run == checkpoint or checkpoint.is_relative_to(run / "eval")
            if inside and (run / "checkpoints").is_dir():
                return run / "eval" / task
    raise DiloError(
        f"--out must say where the result goes, got none: give --out DIR, or the folder of a run "
        f"as the checkpoint, for RUN/eval/{task}"
    )


def require_ours(folder: Path | None, task: str) -> None:
    """Refuse a folder that holds anything but an earlier result of the same command.

    Parameters
    ----------
    folder : Path or None
        What the user asks for; it need not be there.
    task : str
        The command.

    Raises
    ------
    DiloError
        If it holds something else.
    """
    if folder is None or not folder.is_dir():
        return
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if names and f"{task}.json" not in names and PROBE not in names:
        raise DiloError(
            f"--out {folder} must be empty, or hold what this command wrote before, got "
            f"{first_few([*map(escaped, names)])} and no {task}.json: give another folder"
        )


def settled_folder(
    folder: Path, record: Mapping[str, Any], say: Callable[[str], None], *, of_run: bool
) -> Path:
    """Choose where a result goes such that it replaces none of other images or settings.

    Parameters
    ----------
    folder : Path
        Where it goes if nothing is there, or a result of the same images and settings.
    record : mapping of str to object
        What was found, or of it what `inputs_of` looks at.
    say : callable
        Told where it goes, if elsewhere.
    of_run : bool
        Whether the folder is one that nobody named, in that of a run.

    Returns
    -------
    Path
        The folder, or one of ``FOLDER-2``, ``FOLDER-3`` beside it; it exists.
    """
    return _settled(
        folder,
        lambda place: is_free(place, given=not of_run),
        lambda place: _is_same(record, place / f"{record['task']}.json", of_run=of_run),
        say,
    )


def settled_file(path: Path, record: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    """Choose the file of a record such that it replaces none of other images or settings.

    Parameters
    ----------
    path : Path
        Where it goes if nothing is there, or a record of the same images and settings.
    record : mapping of str to object
        What was found.
    say : callable
        Told where it goes, if elsewhere.

    Returns
    -------
    Path
        The file, or one of ``NAME-2``, ``NAME-3`` beside it.
    """
    return _settled(
        path,
        lambda place: not place.exists(),
        lambda place: _is_same(record, place, of_run=False),
        say,
    )


def _settled(
    path: Path,
    is_open: Callable[[Path], bool],
    is_same: Callable[[Path], bool],
    say: Callable[[str], None],
) -> Path:
    """Choose the first place where nothing is, or the same; say so if it is not the one named."""
    place = next(place for place in beside(path) if is_open(place) or is_same(place))
    if place != path:
        say(
            f"{path} holds a result of other images or settings, which stays as it is: this one "
            f"goes to {place}"
        )
    return place


def _is_same(record: Mapping[str, Any], path: Path, *, of_run: bool) -> bool:
    """Tell whether a file holds a record of the same images and settings."""
    wanted, earlier = inputs_of(record, of_run=of_run), earlier_record(path)
    return bool(earlier and wanted and inputs_of(earlier, of_run=of_run) == wanted)


def require_record(option: str, path: Path, task: str) -> None:
    """Refuse to write over a file that is no record of the same command.

    Parameters
    ----------
    option : str
        That names the file.
    path : Path
        The file, which need not be there.
    task : str
        The command.

    Raises
    ------
    DiloError
        If it is something else.
    """
    if path.exists() and (earlier_record(path) or {}).get("task") != task:
        raise DiloError(
            f"{option} {path} must be a new file, or a record of dilo-eval {task}, got something "
            "else, which would be lost: give another name"
        )


def beside(path: Path) -> Iterator[Path]:
    """Name a file or folder, and others beside it, without end.

    Parameters
    ----------
    path : Path
        The first.

    Yields
    ------
    Path
        It, then with -2, -3 and so on at the end of its name.

    Examples
    --------
    >>> from itertools import islice
    >>> [path.as_posix() for path in islice(beside(Path("a/b.json")), 3)]
    ['a/b.json', 'a/b-2.json', 'a/b-3.json']
    """
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def earlier_record(path: Path) -> dict[str, Any] | None:
    """Read a record that may be there.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict or None
        None where there is none, or something else.

    Raises
    ------
    AccessError
        If the system does not give it now.
    """
    try:
        record = read_json(path)
    except (ContentError, OSError) as error:
        require_access(error, path)
        return None
    return record if isinstance(record, dict) else None


def is_free(folder: Path, *, given: bool) -> bool:
    """Take a folder that is not there, or an empty one that is nobody's.

    Parameters
    ----------
    folder : Path
        Which; made if it is not there.
    given : bool
        Whether the user named it: then no other command is taken to be about to write there.

    Returns
    -------
    bool
        Whether it is empty, and the caller's.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not folder.is_dir() or any(folder.iterdir()):
            return False
        return given or time.time() - folder.stat().st_mtime > CLAIMED
    return True


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


def record_head(task: str, encoder: "Encoder") -> dict[str, Any]:
    """Begin a record: the command, and which network was measured at which side of its crops."""
    return {
        "task": task,
        "checkpoint": str(encoder.source),
        "step": encoder.step,
        "size": encoder.size,
    }


def skipped_images(images: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """List images that could not be used, for the key "skipped" of every record."""
    return [{"path": path, "reason": reason} for path, reason in images]


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
