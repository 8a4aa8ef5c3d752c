"""The whole of `dilo-eval report`: read, compare, draw, write."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dilo.eval.common.results import Say
from dilo.eval.common.templates import render
from dilo.eval.records.metrics import MetricValue
from dilo.eval.records.reading import Source, read_source
from dilo.eval.report import evaluations, sections, summary
from dilo.eval.report.content import ReportData
from dilo.eval.report.pictures import ImageStore
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.printing import printable
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.common.textfiles import read_bytes
from dilo.pipeline.errors import DiloError, first_few
from dilo.pipeline.images.names import escaped

REPORT, NUMBERS = "report.html", "numbers.csv"
#: Bytes of a page that is read for what it is of.
LARGEST_PAGE = 256 * 2**20
#: The sections of the page in their order; those of tasks are called as they are.
BEFORE = {
    "numbers": "Numbers",
    "runs": "Runs",
    "recipes": "Recipes and data",
    "curves": "Curves of the training",
}
AFTER = {
    "figures": "Figures",
    "missing": "What is missing",
    "provenance": "Where the numbers are from",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to put side by side, and where."""

    #: Name, and folder or checkpoint, of each run; names differ.
    runs: Sequence[tuple[str, Path]]
    #: Folders of results that belong to no single run; these names differ too.
    others: Sequence[tuple[str, Path]]
    #: Folder of the report; made if it is missing.
    out: Path
    #: Of the page.
    title: str


def make_report(request: Request, say: Say) -> dict[str, Any]:
    """Write the page, its pictures and its numbers; return what the page says, as a record."""
    runs = [read_source(name, path, is_run=True) for name, path in request.runs]
    others = [read_source(name, path, is_run=False) for name, path in request.others]
    for run in runs:
        _require_something(run)
    mark = _mark(request)
    _require_own(request.out, mark)
    request.out.mkdir(parents=True, exist_ok=True)
    data = ReportData(runs, others, ImageStore(request.out))
    write_text(request.out / REPORT, page(request.title, data) + mark)
    rows = [_row(data, value) for value in data.values]
    write_text(request.out / NUMBERS, numbers_text(rows))
    notes = [note for source in data.sources for note in source.notes] + data.images.notes
    for note in notes:
        say(printable(note))
    return {
        "task": "report",
        "out": str(request.out),
        "page": str(request.out / REPORT),
        "runs": data.names,
        "numbers": rows,
        "differences": [
            {
                "first": first.column,
                "second": second.column,
                "task": first.task,
                "data": data.data_name(first),
                "name": first.label,
                "value": first.value - second.value,
                "low": interval[0],
                "high": interval[1],
            }
            for first, second, interval in data.differences()
        ],
        "notes": notes,
    }


def _mark(request: Request) -> str:
    """Name the runs of a page in its last line, such that no page of others replaces it."""
    paths = [*request.runs, None, *request.others]
    words = [pair and (pair[0], str(pair[1].resolve())) for pair in paths]
    text = json.dumps(words).encode("utf-8", "surrogatepass")
    return f"<!-- of {hashlib.sha256(text).hexdigest()} -->\n"


def _require_own(out: Path, mark: str) -> None:
    """Refuse a folder that holds something else, or the page of other runs."""
    if not out.is_dir():
        return
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    if names and REPORT not in names:
        raise DiloError(
            f"--out {out} must be empty, or hold a report, got {first_few([*map(escaped, names)])} "
            f"and no {REPORT}: give another folder"
        )
    if names and not read_bytes(out / REPORT, LARGEST_PAGE).endswith(mark.encode()):
        raise DiloError(
            f"--out {out} must be empty, or hold the report of the same runs by the same names, "
            f"got a {REPORT} of others: give another folder, or remove this one"
        )


def _require_something(run: Source) -> None:
    """Refuse a folder that is no run."""
    if not (run.facts or run.recipe or run.lines or run.results):
        raise DiloError(
            f"{run.folder} must be the folder of a run, or hold results of dilo-eval, got neither "
            "run.json nor recipe.toml nor metrics.jsonl nor a record: give what dilo-train was "
            "given as --out"
        )


#: Tasks of the page before localisation.
BEFORE_MAPS = ("knn", "linear", "linear-fast", "detect")
#: Tasks of the page after it.
AFTER_MAPS = ("discovery", "backgrounds", "backgrounds-retrieval", "neighbors")


def page(title: str, data: ReportData) -> str:
    """Fill the template of the page: HTML that needs nothing else."""
    # Those of tasks in the order of the page; what has nothing to show is not there.
    tasks = [
        *(evaluations.task_section(data, task) for task in BEFORE_MAPS),
        evaluations.localisation_section(data),
        *(evaluations.task_section(data, task) for task in AFTER_MAPS),
        evaluations.masks_section(data),
    ]
    present = [section for section in tasks if section]
    pictures = sections.figure_groups(data)
    contents = BEFORE | {section.task: section.heading for section in present} | AFTER
    if not pictures["groups"]:
        del contents["figures"]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return render(
        "dilo.eval.report",
        "page.html.j2",
        title=title,
        made=f"Made by dilo-eval report, dilo {version('dilo')}, {now}",
        contents=contents,
        warnings=summary.warnings(data),
        numbers=summary.headline_table(data),
        alone=data.names[0] if len(data.runs) == 1 else "",
        runs=sections.runs_table(data),
        recipes=sections.recipes(data),
        curves=sections.curves(data),
        tasks=present,
        pictures=pictures,
        missing=sections.missing(data),
        notes=sections.notes(data),
        provenance=sections.provenance_table(data),
    )


KEYS = ("run", "task", "data", "name", "value", "unit")


def numbers_text(rows: Sequence[dict[str, Any]]) -> str:
    """Write the numbers as CSV, no cell of which is a formula to a spreadsheet."""
    return csv_text(KEYS, ([row[key] for key in KEYS] for row in rows))


def _row(data: ReportData, value: MetricValue) -> dict[str, Any]:
    """Gather what is said of a number."""
    return {
        "run": value.column,
        "task": value.task,
        "data": data.data_name(value),
        "name": value.label,
        "value": value.value,
        "unit": value.unit,
    }
