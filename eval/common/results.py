"""Results as files: where they go, and what every record says."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dilo.eval.common.inputs import data_name, inputs_of
from dilo.pipeline.common.files import atomic_write, write_text
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError, DiloError, first_few, require_access
from dilo.pipeline.images.names import escaped

if TYPE_CHECKING:  # torch takes seconds to import, and scores of masks need none of it
    from dilo.eval.models.encoder import Encoder

#: Writes a line for people.
Say = Callable[[str], None]
#: Seconds for which an empty folder may be that of a command that is about to write there.
CLAIMED = 60.0


#: Skipped images that are named in words.
MAX_LISTED = 10


#: Where a linear probe stands, which is there before its record.
PROBE = "training.pt"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found."""

    #: What its JSON file holds.
    record: dict[str, Any]
    #: The same for people, in lines.
    table: list[str]


def result_folder(task: str, out: Path | None, checkpoint: Path | None) -> Path:
    """Choose the folder of a result: what the user asks for, or that of the run.

    Of a run, or of what lies in its folder ``eval``, that is ``RUN/eval/TASK``, where `report`
    looks for it; of a checkpoint of the run that is not its newest, ``RUN/eval/TASK-step-N``.
    """
    if out is not None:
        return out
    if checkpoint is not None and (folder := run_folder(task, checkpoint)):
        return folder
    raise DiloError(
        f"--out must say where the result goes, got none: give --out DIR, or the folder of a run "
        f"as the checkpoint, for RUN/eval/{task}"
    )


def run_folder(task: str, checkpoint: Path) -> Path | None:
    """Choose the folder of a result as `result_folder` does; None where it is of no run."""
    for run in (checkpoint, *checkpoint.parents):
        if (run / "checkpoints").is_dir():
            suffix = _step_suffix(run, checkpoint)
            return None if suffix is None else run / "eval" / f"{task}{suffix}"
    return None


def _step_suffix(run: Path, checkpoint: Path) -> str | None:
    """Name the step of a checkpoint of a run: "" of its newest, None where it is not the run's."""
    if checkpoint == run:
        return ""
    if checkpoint.is_relative_to(run / "eval"):  # a classifier, in the folder of its own result
        match = re.search(r"-step-\d+", str(checkpoint.relative_to(run / "eval")))
        return match[0] if match else ""
    if checkpoint.parent != run / "checkpoints" or (step := _step(checkpoint)) is None:
        return None
    newest = max(filter(None, map(_step, checkpoint.parent.iterdir())), default=step)
    return "" if step == newest else f"-step-{step}"


def _step(checkpoint: Path) -> int | None:
    """Read the step of a checkpoint from its name."""
    match = re.fullmatch(r"step-(\d+)\.pt", checkpoint.name)
    return int(match[1]) if match else None


def require_ours(folder: Path | None, task: str) -> None:
    """Refuse a folder that holds anything but an earlier result of the same command."""
    if folder is None or not folder.is_dir():
        return
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if names and f"{task}.json" not in names and PROBE not in names:
        raise DiloError(
            f"--out {folder} must be empty, or hold what this command wrote before, got "
            f"{first_few([*map(escaped, names)])} and no {task}.json: give another folder"
        )


def settled_folder(folder: Path, record: Mapping[str, Any], say: Say, *, of_run: bool) -> Path:
    """Choose a folder, and make it, such that a result replaces none of other images or settings.

    That is `folder`, or else ``FOLDER-NAME``, ``FOLDER-NAME-2`` and so on beside it, by the "name"
    of the record; `say` is told. `of_run` says that nobody named the folder, which is in that of a
    run.
    """
    return _settled(
        folder,
        record,
        lambda place: is_free(place, given=not of_run),
        lambda place: _is_same(record, place / f"{record['task']}.json", of_run=of_run),
        say,
    )


def settled_file(path: Path, record: Mapping[str, Any], say: Say) -> Path:
    """Choose the file of a record as `settled_folder` chooses a folder."""
    return _settled(
        path,
        record,
        lambda place: not place.exists(),
        lambda place: _is_same(record, place, of_run=False),
        say,
    )


def _settled(
    path: Path,
    record: Mapping[str, Any],
    is_open: Callable[[Path], bool],
    is_same: Callable[[Path], bool],
    say: Say,
) -> Path:
    """Choose the first place where nothing is, or the same; say so if it is not the one named."""
    places = beside(path, str(record.get("name") or data_name(record.get("inputs"))))
    place = next(place for place in places if is_open(place) or is_same(place))
    if place != path:
        say(
            f"{path} holds a result of other images or settings, which is kept: this one "
            f"goes to {place}"
        )
    return place


def _is_same(record: Mapping[str, Any], path: Path, *, of_run: bool) -> bool:
    """Tell whether a file holds a record of the same images and settings."""
    wanted, earlier = inputs_of(record, of_run=of_run), earlier_record(path)
    return bool(earlier and wanted and inputs_of(earlier, of_run=of_run) == wanted)


def require_record(option: str, path: Path, task: str) -> None:
    """Refuse to write over a file, named by `option`, that is no record of the same command."""
    if path.exists() and (earlier_record(path) or {}).get("task") != task:
        raise DiloError(
            f"{option} {path} must be a new file, or a record of dilo-eval {task}, got something "
            "else, which would be lost: give another name"
        )


def beside(path: Path, name: str = "") -> Iterator[Path]:
    """Give a file or folder, then others beside it, with a name and numbers, without end.

    Examples
    --------
    >>> from itertools import islice
    >>> [path.as_posix() for path in islice(beside(Path("a/b.json"), "cub"), 3)]
    ['a/b.json', 'a/b-cub.json', 'a/b-cub-2.json']
    """
    yield path
    suffix = path.suffix if path.suffix in (".json", ".png") else ""  # a folder may have a dot
    stem = path.name.removesuffix(suffix)
    if name:
        stem = f"{stem}-{name}"
        yield path.with_name(f"{stem}{suffix}")
    for number in count(2):
        yield path.with_name(f"{stem}-{number}{suffix}")


def earlier_record(path: Path) -> dict[str, Any] | None:
    """Read a record that may be there; None where there is none, or something else."""
    try:
        record = read_json(path)
    except (ContentError, OSError) as error:
        require_access(error, path)
        return None
    return record if isinstance(record, dict) else None


def is_free(folder: Path, *, given: bool) -> bool:
    """Take a folder that is not there, or an empty one that is nobody's.

    An empty one that the user did not name may be that of another command that is about to write.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not folder.is_dir() or any(folder.iterdir()):
            return False
        return given or time.time() - folder.stat().st_mtime > CLAIMED
    return True


def write_result(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write a record where `report` finds it, ``FOLDER/TASK.json``; its "task" names the file."""
    return write_record(folder / f"{record['task']}.json", record)


def write_in_run(record: Mapping[str, Any], checkpoint: Path | None, say: Say) -> None:
    """Write a record into the run that its checkpoint is of, where it is of one, and say so."""
    task = str(record["task"])
    if checkpoint is not None and (folder := run_folder(task, checkpoint)):
        folder = settled_folder(folder, record, say, of_run=True)
        say(f"written to {write_result(folder, record)}")


def write_record(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record, whole or not at all; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record) + "\n")
    return path


def record_head(task: str, encoders: Iterable["Encoder"]) -> dict[str, Any]:
    """Begin a record: the command, and which network was measured at which side of its crops.

    Of several networks, what is the same for all; null stands for what differs.
    """
    sources = [(str(e.source), e.step, e.size) for e in encoders]
    shared = (values[0] if len(set(values)) == 1 else None for values in zip(*sources, strict=True))
    return {"task": task, **dict(zip(("checkpoint", "step", "size"), shared, strict=True))}


def skipped_images(images: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """List images that could not be used, for the key "skipped" of every record."""
    return [{"path": path, "reason": reason} for path, reason in images]


def write_image(path: Path, picture: Image.Image) -> None:
    """Write a picture, whole or not at all; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        picture.save(part, format="PNG")


def say_skipped(
    images: Sequence[tuple[str, str]],
    say: Say,
    why: str = "of the images could not be read",
    all_in: str = "--json",
) -> None:
    """Name images that are skipped, and why; of many the first few, and what names all."""
    if images:
        say(f"{len(images)} {why} and are skipped:")
    for path, reason in images[:MAX_LISTED]:
        say(f"  {path}: {reason}")
    if len(images) > MAX_LISTED:
        say(f"  and {len(images) - MAX_LISTED} more; {all_in} names all")


def provenance(started: float) -> dict[str, Any]:
    """Say how long a result took, since `started` of `time.monotonic`, and by which versions."""
    versions = {name: version(name) for name in ("dilo", "torch", "torchvision", "numpy")}
    return {"seconds": round(time.monotonic() - started, 1), "versions": versions}
