"""The sections of the page, each as the tables, figures and words that its template shows."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dilo.eval.common.lookup import find_in
from dilo.eval.records.reading import Source, number
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.content import (
    NOTHING,
    Cell,
    Figure,
    ReportData,
    Table,
    count_of,
    heading,
    versions_words,
    with_unit,
    word,
)
from dilo.eval.report.pictures import first_of_each_folder
from dilo.eval.report.summary import (
    DIGEST,
    digest,
    extension_words,
    initial_digest,
    initial_words,
)
from dilo.pipeline.common.textfiles import read_bytes
from dilo.pipeline.errors import ContentError
from dilo.train.monitor.plot import plot_runs

#: Settings that say what a run is, whether they differ or not.
MAIN = (
    "method",
    "model.arch",
    "views.size",
    "optimizer.epochs",
    "optimizer.batch",
    "optimizer.lr",
    "paste.probability",
)
#: What is said of the end of a curve: field, what it is, factor, unit.
LAST = (
    ("loss", "loss", 1, ""),
    ("accuracy", "accuracy of the contrastive task", 100, "%"),
    ("knn_top1", "kNN top-1 of the monitor", 1, "%"),
)


def runs_table(data: ReportData) -> Table:
    """Say of each run what it is and how far it is."""
    rows: tuple[tuple[str, Callable[[Source], Cell | str]], ...] = (
        ("folder", lambda run: Cell(str(run.folder), code=True)),
        ("steps taken", steps_words),
        ("images trained on", lambda run: count_of(run.facts.get("images"))),
        ("of these never pasted", lambda run: count_of(run.facts.get("never_pasted"))),
        ("device", _device),
        ("started", _started),
        ("commit", lambda run: _commit(run.facts.get("commit"))),
        ("versions", lambda run: versions_words(run.facts.get("versions"))),
    )
    if any(map(initial_digest, data.runs)):
        rows = (*rows, ("began with", initial_words))
    if any(map(extension_words, data.runs)):
        rows = (*rows, ("extended", lambda run: extension_words(run) or "no"))
    cells = [[head, *(value(run) for run in data.runs)] for head, value in rows]
    return Table(["", *data.names], cells, numbers=False)


def steps_words(run: Source) -> str:
    """Say how far a run is, and what its file of state says."""
    if run.step is not None:
        return f"{run.step:,}, a checkpoint"
    try:
        state = read_bytes(run.folder / "state", 4096).decode(errors="replace").strip()[:40]
    except (OSError, ContentError):
        state = ""
    last = max((line["step"] for line in run.lines), default=None)
    steps = run.facts.get("steps")
    words = NOTHING if last is None else f"{last:,}"
    if isinstance(steps, int):
        words += f" of {steps:,}"
    return f"{words} ({state})" if state else words


def _commit(value: object) -> str:
    """Write the beginning of a commit's hash, and whether files differed from it."""
    digest, changed, _ = word(value).partition("+changes")
    return f"{digest[:DIGEST]}{changed}"


def _device(run: Source) -> str:
    """Say what a run ran on."""
    words = [word(run.facts.get("device")), word(run.facts.get("precision"))]
    if isinstance(ranks := run.facts.get("world_size"), int) and ranks > 1:
        words.append(f"{ranks} processes")
    return ", ".join(part for part in words if part != NOTHING) or NOTHING


def _started(run: Source) -> str:
    """Say when a run was started, and when it was resumed the last time."""
    starts = run.facts.get("starts")
    first_start = starts[0] if isinstance(starts, list) and starts else None
    times = (
        first_start.get("time") if isinstance(first_start, dict) else None,
        run.facts.get("time"),
    )
    first, last = (word(time).replace("T", " ", 1).replace("+00:00", " UTC") for time in times)
    return last if first in (NOTHING, last) else f"{first}; last resumed {last}"


def recipes(data: ReportData) -> dict[str, Any]:
    """Say what differs between the recipes of the runs, and between their data."""
    runs = [run for run in data.runs if run.recipe]
    keys = list(dict.fromkeys(key for run in runs for key in run.recipe))
    differ = [key for key in keys if len({run.recipe.get(key) for run in runs}) > 1]
    rows: list[list[Cell | str]] = [
        [Cell(key, code=True), *(run.recipe.get(key, NOTHING) for run in runs)] for key in differ
    ]
    same = [key for key in MAIN if key in keys and key not in differ]
    return {
        "several": len(runs) > 1,
        "differences": Table(["setting", *(r.name for r in runs)], rows, numbers=False)
        if rows
        else None,
        "others": len(keys) - len(differ),
        "same": [f"{key} = {runs[0].recipe[key]}" for key in same],
        "unknown": [run.name for run in data.runs if not run.recipe],
        "data": _data_table(data),
        "images": _images_words(data),
    }


def _data_table(data: ReportData) -> Table | None:
    """Say which images, masks and backgrounds each run was trained with."""
    rows: list[list[Cell | str]] = [
        [kind, *(_data_cell(run, kind) for run in data.runs)]
        for kind in ("images", "masks", "backgrounds")
        if any(digest(run, kind) for run in data.runs)
    ]
    return Table(["", *data.names], rows, numbers=False) if rows else None


def _data_cell(run: Source, kind: str) -> Cell | str:
    """Name data by its digest, and masks by how they were made."""
    shown = digest(run, kind)[:DIGEST]
    if not shown:
        return "none"
    words = run.facts.get("mask_store") if kind == "masks" else None
    if isinstance(words, str) and words:
        return Cell(words, small=f"digest {shown}")
    return Cell(shown, code=True)


def _images_words(data: ReportData) -> str:
    """Say whether all runs had the same images."""
    digests = {digest(run, "images") for run in data.runs}
    if len(data.runs) < 2 or "" in digests:
        return ""
    if len(digests) > 1:
        return "The runs had different lists of images."
    return "All runs had the same list of images."


def curves(data: ReportData) -> dict[str, Any]:
    """Draw what the runs recorded while they trained."""
    drawn = [run for run in data.runs if run.lines]
    figure = None
    if drawn:
        names = [run.name for run in drawn]
        wide, narrow = data.images.path("curves"), data.images.path("curves", "narrow")
        for path in (wide, narrow):
            plot_runs([run.folder for run in drawn], path, names, narrow=path is narrow)
        caption = "What the runs recorded."
        if any(_end(run, "knn_top1") for run in drawn):
            caption += " kNN here is the monitor's, while a run trained."
        figure = Figure(
            data.images.embed(wide),
            f"Curves of the training of {', '.join(names)}",
            caption,
            data.images.embed(narrow),
        )
    lacking = [run.name for run in data.runs if not run.lines and run.step is None]
    return {"figure": figure, "last": _last(drawn) if drawn else None, "lacking": lacking}


def _last(runs: Sequence[Source]) -> Table:
    """Say where the curves end."""
    rows = []
    for key, words, factor, unit in LAST:
        ends = [_end(run, key) for run in runs]
        if any(ends):
            cells = [
                f"{with_unit(factor * end[1], unit)}, step {end[0]:,}" if end else NOTHING
                for end in ends
            ]
            rows.append([words, *cells])
    return Table(["", *(run.name for run in runs)], rows, "The last that each run recorded")


def _end(run: Source, key: str) -> tuple[int, float] | None:
    """Return the last number that a run recorded, and its step."""
    for line in reversed(run.lines):
        if (value := number(line.get(key))) is not None:
            return line["step"], value
    return None


def figure_groups(data: ReportData) -> dict[str, Any]:
    """Gather the pictures beside the records by task, those of one name beside each other."""
    pictures: dict[str, dict[str, list[tuple[Source, Path]]]] = {}
    more = 0
    for source in data.sources:
        shown, hidden = first_of_each_folder(source.pictures)
        more += hidden
        for path in shown:
            by_name = pictures.setdefault(_task_of(path, source), {})
            by_name.setdefault(path.stem, []).append((source, path))
    tasks = [*(t for t in TASKS if t in pictures), *sorted(pictures.keys() - TASKS.keys())]
    groups = [
        (
            heading(task),
            [_figures(data, task, stem, files) for stem, files in pictures[task].items()],
        )
        for task in tasks
    ]
    return {"groups": groups, "more": more}


def _figures(
    data: ReportData, task: str, stem: str, files: Sequence[tuple[Source, Path]]
) -> list[Figure]:
    """Copy the pictures of one name."""
    figures = []
    for source, path in files:
        if picture := data.images.copy(path, source.name, task, stem):
            folder = path.parent.name
            aside = source.is_run and folder.startswith(f"{task}-")
            name = f"{source.name} ({folder})" if aside else source.name
            caption = f"{name}: {stem}." if stem != name else f"{name}."
            figures.append(Figure(picture, f"{stem} of {name}", caption))
    return figures


def _task_of(path: Path, source: Source) -> str:
    """Name the task of a picture: by the record beside it, or by its folder."""
    beside = [result.task for result in source.results if result.path.parent == path.parent]
    return beside[0] if beside else path.parent.name


def missing(data: ReportData) -> list[tuple[str, str, str]]:
    """List the results that a run lacks: run, task, and the command that makes it."""
    items = []
    for name, task in TASKS.items():
        if not task.command or any(other.result(name) for other in data.others):
            continue
        lacking = [run for run in data.runs if not run.result(name)]
        if name == "saliency" and lacking and len(lacking) < len(data.runs):
            continue
        record = next((result.record for _, result in data.records(name)), None)
        command = task.whole(record)
        items += [
            (run.name, name, command.replace(" RUN ", f" {_path(run)} ", 1)) for run in lacking
        ]
    return items


def _path(run: Source) -> str:
    """Write what was measured of a run, for a shell."""
    step = f"checkpoints/step-{run.step:08d}.pt" if run.step is not None else ""
    return shlex.quote(str(run.folder / step))


def notes(data: ReportData) -> list[str]:
    """List what was skipped or is not shown."""
    notes = [note for source in data.sources for note in (*source.notes, *source.superseded())]
    return notes + data.images.notes


def provenance_table(data: ReportData) -> Table | None:
    """Say where each number is from, a row a record; None where there is none."""
    tasks = dict.fromkeys([*TASKS, *(r.task for s in data.sources for r in s.results)])
    rows: list[list[Cell | str]] = [
        [
            source.name,
            result.task,
            Cell(str(result.path), code=True),
            Cell(_checkpoints(result.record), code=True),
            _steps(result.record),
            _counted(result.record, "seconds", ",.1f", "\u00a0s"),
            versions_words(result.record.get("versions")),
        ]
        for task in tasks
        for source, result in data.records(task)
    ]
    head = ["of", "task", "record", "checkpoint", "step", "time", "versions"]
    return Table(head, rows, numbers=False) if rows else None


#: Where records of several checkpoints say what each is.
EACH = ("results", "methods", "checkpoints", "classifiers")


def _each(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    """List what a record of several checkpoints says of each, by their names."""
    return {
        words.get("name", ""): value
        for place in EACH
        for value, words in find_in(record, [place, "*", key])
        if value is not None
    }


def _checkpoints(record: Mapping[str, Any]) -> str:
    """Name the checkpoint of a record, or each of several; of masks, the truth."""
    several = dict.fromkeys(map(word, _each(record, "checkpoint").values()))
    return word(record.get("checkpoint") or ", ".join(several) or record.get("truth"))


def _steps(record: Mapping[str, Any]) -> str:
    """Say the step of the checkpoint of a record, or of each of several."""
    if number(record.get("step")) is not None:
        return _counted(record, "step", ",.0f", "")
    steps = {name: number(step) for name, step in _each(record, "step").items()}
    each = [f"{name} {step:,.0f}" for name, step in steps.items() if step is not None]
    return ", ".join(each) or NOTHING


def _counted(record: Mapping[str, Any], key: str, form: str, unit: str) -> str:
    """Write a number of a record, if it is one."""
    value = number(record.get(key))
    return NOTHING if value is None else f"{value:{form}}{unit}"
