"""What the runs are: their state, what differs between their recipes, what data they had."""

from typing import Any

from dilo.eval.records.reading import Source
from dilo.eval.report.gathered import Gathered, Section
from dilo.eval.report.markup import Markup, escape, joined, paragraph, table, tag
from dilo.eval.report.words import NOTHING
from dilo.pipeline.common.textfiles import read_bytes
from dilo.pipeline.errors import ContentError

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
#: Letters of a digest that are shown.
DIGEST = 12


def digest(run: Source, kind: str) -> str:
    """Give a digest of what a run was trained on.

    Parameters
    ----------
    run : Source
        The run.
    kind : str
        "images", "masks" or "backgrounds".

    Returns
    -------
    str
        The digest; empty where there is none.
    """
    data = run.facts.get("data")
    found = data.get(kind) if isinstance(data, dict) else None
    return found if isinstance(found, str) else ""


def runs_section(gathered: Gathered) -> Section:
    """Say of each run what it is and how far it is.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        A table.
    """
    rows = [
        [head, *(escape(value(run)) for run in gathered.runs)]
        for head, value in (
            ("folder", lambda run: tag("code", run.folder)),
            ("steps taken", _steps),
            ("images trained on", lambda run: _count(run.facts.get("images"))),
            ("of these never pasted", lambda run: _count(run.facts.get("never_pasted"))),
            ("device", lambda run: _device(run.facts)),
            ("started", _started),
            ("commit", lambda run: _word(run.facts.get("commit"))),
            ("versions", lambda run: versions_words(run.facts.get("versions"))),
        )
    ]
    body = table(["", *gathered.names], rows, numbers=False)
    return Section("runs", "Runs", body)


def recipes_section(gathered: Gathered) -> Section:
    """Say what differs between recipes and between data.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        A table of the keys that differ, and one of digests.
    """
    known = [run for run in gathered.runs if run.recipe]
    unknown = [run.name for run in gathered.runs if not run.recipe]
    keys = list(dict.fromkeys(key for run in known for key in run.recipe))
    differ = [key for key in keys if len({run.recipe.get(key) for run in known}) > 1]
    parts = []
    if differ:
        rows = [[tag("code", k), *(run.recipe.get(k, NOTHING) for run in known)] for k in differ]
        parts.append(table(["setting", *(run.name for run in known)], rows, numbers=False))
        parts.append(paragraph(_same(len(keys) - len(differ)), kind="note"))
    elif len(known) > 1:
        parts.append(paragraph("No setting differs."))
    same = [key for key in MAIN if key in keys and key not in differ]
    if known and same:
        each = [tag("code", f"{key} = {known[0].recipe[key]}") for key in same]
        parts.append(
            paragraph("In all of them " if len(known) > 1 else "", joined(each, ", "), ".")
        )
    if unknown:
        parts.append(
            paragraph(
                f"No recipe known: {', '.join(unknown)} (no run.json and no recipe.toml).",
                kind="missing",
            )
        )
    parts += [tag("h3", "Data"), _data(gathered)]
    return Section("recipes", "Recipes and data", joined(parts))


def _data(gathered: Gathered) -> Markup:
    """Say whether the runs had the same images, masks and backgrounds."""
    rows = []
    for kind in ("images", "masks", "backgrounds"):
        digests = [digest(run, kind) for run in gathered.runs]
        if any(digests):
            rows.append([kind, *(tag("code", d[:DIGEST]) if d else "none" for d in digests)])
    if not rows:
        return paragraph("No run tells digests of its data.", kind="missing")
    told = {digest(run, "images") for run in gathered.runs}
    words = ""
    if len(gathered.runs) > 1 and "" not in told:
        words = (
            "All runs had the same list of images."
            if len(told) == 1
            else "The runs had different lists of images."
        )
    shown = table(["digest of", *gathered.names], rows, numbers=False)
    return joined([paragraph(words) if words else Markup(), shown])


def _same(count: int) -> str:
    """Say how many settings do not differ."""
    return f"The other {count} settings are the same." if count != 1 else "The other is the same."


def _steps(run: Source) -> str:
    """Say how far a run is, and what its file of state says."""
    try:
        state = read_bytes(run.folder / "state", 4096).decode(errors="replace").strip()[:40]
    except (OSError, ContentError):
        state = ""
    taken = max((line["step"] for line in run.lines), default=None)
    steps = run.facts.get("steps")
    words = NOTHING if taken is None else f"{taken:,}"
    if isinstance(steps, int):
        words += f" of {steps:,}"
    return f"{words} ({state})" if state else words


def _started(run: Source) -> str:
    """Say when a run was begun, and when it was taken up again the last time."""
    starts = run.facts.get("starts")
    begun = starts[0] if isinstance(starts, list) and starts else None
    times = [begun.get("time") if isinstance(begun, dict) else None, run.facts.get("time")]
    first, last = (_word(time).replace("+00:00", " UTC") for time in times)
    return last if first in (NOTHING, last) else f"{first}; last taken up {last}"


def _device(facts: dict[str, Any]) -> str:
    """Say what a run ran on."""
    words = [_word(facts.get("device")), _word(facts.get("precision"))]
    if isinstance(ranks := facts.get("world_size"), int) and ranks > 1:
        words.append(f"{ranks} processes")
    return ", ".join(word for word in words if word != NOTHING) or NOTHING


def _count(value: object) -> str:
    """Write a count."""
    return f"{value:,}" if isinstance(value, int) else NOTHING


def _word(value: object) -> str:
    """Write a word."""
    return value if isinstance(value, str) and value else NOTHING


def versions_words(value: object) -> str:
    """Write versions in a line.

    Parameters
    ----------
    value : object
        Versions by package.

    Returns
    -------
    str
        A dash where there are none.
    """
    if not isinstance(value, dict) or not value:
        return NOTHING
    return ", ".join(f"{name} {version}" for name, version in value.items())
