"""The whole of `dilo-eval report`: read, compare, draw, write."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from dilo.eval.records.quantities import Number
from dilo.eval.records.reading import Source, read_source
from dilo.eval.report.curves import curves_section
from dilo.eval.report.figures import figures_section
from dilo.eval.report.gathered import Gathered, Section, gather
from dilo.eval.report.markup import Markup, bullets, escape, joined, tag
from dilo.eval.report.overview import numbers_section, summary_section
from dilo.eval.report.places import localisation_section, masks_section
from dilo.eval.report.provenance import missing_section, provenance_section
from dilo.eval.report.readouts import task_section
from dilo.eval.report.runs import recipes_section, runs_section
from dilo.eval.report.style import PAGE, POLICY, STYLE
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.printing import counted, printable
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.common.textfiles import read_bytes
from dilo.pipeline.errors import DiloError, first_few
from dilo.pipeline.images.names import escaped

Say = Callable[[str], None]
REPORT, NUMBERS = "report.html", "numbers.csv"
#: Bytes of a page that is looked at for what it is of.
LARGEST_PAGE = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to put side by side, and where.

    Attributes
    ----------
    runs : sequence of (str, Path)
        Name and folder of each run; names differ.
    others : sequence of (str, Path)
        Folders of results that belong to no single run; these names differ too.
    out : Path
        Folder of the report; made if it is missing.
    title : str
        Of the page.
    """

    runs: Sequence[tuple[str, Path]]
    others: Sequence[tuple[str, Path]]
    out: Path
    title: str


def make_report(request: Request, say: Say) -> dict[str, Any]:
    """Write the page, its pictures and its numbers.

    Parameters
    ----------
    request : Request
        What to do.
    say : callable
        Writes a line for people.

    Returns
    -------
    dict
        "task", "out", "numbers": what numbers.csv holds, and "notes": what is left out.

    Raises
    ------
    DiloError
        If nothing of a run can be shown, or the output folder holds something else.
    """
    runs = [read_source(name, folder, is_run=True) for name, folder in request.runs]
    others = [read_source(name, folder, is_run=False) for name, folder in request.others]
    for run in runs:
        _require_something(run)
    mark = _mark(request)
    _require_own(request.out, mark)
    request.out.mkdir(parents=True, exist_ok=True)
    gathered = gather(runs, others, request.out)
    sections = _sections(gathered)
    write_text(request.out / REPORT, page(request.title, sections) + mark)
    write_text(request.out / NUMBERS, numbers_text(gathered.numbers))
    notes = [note for source in gathered.sources for note in source.notes] + gathered.album.notes
    for note in notes:
        say(printable(note))
    size = (request.out / REPORT).stat().st_size
    say(
        f"{request.out / REPORT}: {counted(len(runs), 'run')}, "
        f"{counted(len(gathered.numbers), 'number')}, "
        f"{size >> 10} KiB"
    )
    return {
        "task": "report",
        "out": str(request.out),
        "numbers": [_row(number) for number in gathered.numbers],
        "notes": notes,
    }


def _mark(request: Request) -> str:
    """Name the runs of a page in its last line, such that no page of others replaces it."""
    named = [*request.runs, None, *request.others]
    words = [pair and (pair[0], str(pair[1].resolve())) for pair in named]
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


def _sections(gathered: Gathered) -> list[Section]:
    """Make the parts of the page, in their order; figures before what is said of them."""
    made = [
        summary_section(gathered),
        numbers_section(gathered),
        runs_section(gathered),
        recipes_section(gathered),
        curves_section(gathered),
        *(task_section(gathered, task) for task in ("knn", "linear", "linear-fast")),
        localisation_section(gathered),
        *(task_section(gathered, task) for task in ("backgrounds", "neighbors")),
        masks_section(gathered),
        figures_section(gathered),
        missing_section(gathered),
        provenance_section(gathered),
    ]
    return [section for section in made if section]


def page(title: str, sections: Sequence[Section]) -> str:
    """Put the page together.

    Parameters
    ----------
    title : str
        Any text.
    sections : sequence of Section
        Its parts.

    Returns
    -------
    str
        HTML that needs nothing else.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    links = bullets(tag("a", section.heading, href=f"#{section.anchor}") for section in sections)
    return Template(PAGE).substitute(
        policy=escape(POLICY),
        title=escape(title),
        style=STYLE,
        made=escape(f"Made by dilo-eval report, dilo {version('dilo')}, {now}"),
        contents=links,
        sections=joined(map(_shown, sections)),
    )


def _shown(section: Section) -> Markup:
    """Write a section under its heading."""
    heading = tag("h2", section.heading, id=section.anchor)
    return tag("section", heading, section.body, aria_labelledby=section.anchor)


def numbers_text(numbers: Sequence[Number]) -> str:
    """Write a row a run and number.

    Parameters
    ----------
    numbers : sequence of Number
        All there are.

    Returns
    -------
    str
        CSV with a head; no cell is a formula to a spreadsheet.
    """
    keys = ("run", "task", "name", "value", "unit")
    return csv_text(keys, ([_row(number)[key] for key in keys] for number in numbers))


def _row(number: Number) -> dict[str, Any]:
    """Gather what is told of a number."""
    return {
        "run": number.column,
        "task": number.task,
        "name": number.label,
        "value": number.value,
        "unit": number.unit,
    }
