"""The end of the page: what is missing or left out, and where each number is from."""

import shlex
from typing import Any

from dilo.eval.records.reading import number
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.gathered import Gathered, Section
from dilo.eval.report.markup import bullets, joined, paragraph, table, tag
from dilo.eval.report.runs import versions_words
from dilo.eval.report.words import NOTHING


def missing_section(gathered: Gathered) -> Section:
    """Say what was not measured, and what could not be read.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        With the command that makes each result.
    """
    items = []
    for name, task in TASKS.items():
        if any(True for other in gathered.others if other.result(name)):
            continue
        lacking = [run for run in gathered.runs if not run.result(name)]
        if name == "saliency" and lacking and len(lacking) < len(gathered.runs):
            continue
        for run in lacking if task.command else []:
            command = task.whole(next((r.record for _, r in gathered.records(name)), None))
            command = command.replace(" RUN ", f" {shlex.quote(str(run.folder))} ", 1)
            items.append(joined([f"{run.name}: no {name} result: ", tag("code", command)]))
    parts = [bullets(items) if items else paragraph("Nothing: every run has every result.")]
    notes = [note for source in gathered.sources for note in (*source.notes, *source.left_out())]
    notes += gathered.album.notes
    if notes:
        parts += [tag("h3", "Left out"), bullets(notes)]
    return Section("missing", "What is missing", joined(parts))


def provenance_section(gathered: Gathered) -> Section:
    """Say where each number is from.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        A row a record.
    """
    rows = [
        [
            source.name,
            result.task,
            tag("code", result.path, class_="path"),
            tag("code", _checkpoint(result.record), class_="path"),
            _step(result.record),
            _seconds(result.record),
            versions_words(result.record.get("versions")),
        ]
        for task in dict.fromkeys([*TASKS, *(r.task for s in gathered.sources for r in s.results)])
        for source, result in gathered.records(task)
    ]
    head = ["of", "task", "record", "checkpoint", "step", "time", "versions"]
    body = table(head, rows, numbers=False) if rows else paragraph("No record.", kind="missing")
    return Section("provenance", "Where the numbers are from", body)


def _checkpoint(record: dict[str, Any]) -> str:
    """Name the file that was measured."""
    found = record.get("checkpoint", record.get("truth"))
    return found if isinstance(found, str) else NOTHING


def _step(record: dict[str, Any]) -> str:
    """Tell the step of the checkpoint."""
    found = number(record.get("step"))
    return NOTHING if found is None else f"{found:,.0f}"


def _seconds(record: dict[str, Any]) -> str:
    """Tell how long it took."""
    found = number(record.get("seconds"))
    return NOTHING if found is None else f"{found:,.1f}\u00a0s"
