"""The section of figures: what lies beside the records, of each run in turn."""

from pathlib import Path

from dilo.eval.records.reading import Source
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.gathered import Gathered, Section, figure
from dilo.eval.report.markup import joined, paragraph, tag
from dilo.eval.report.pictures import chosen


def figures_section(gathered: Gathered) -> Section | None:
    """Show the pictures of results, those of one name beside each other.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section or None
        None where there are no pictures.
    """
    by_title: dict[tuple[str, str], list[tuple[Source, Path]]] = {}
    left_out = 0
    for source in gathered.sources:
        kept, more = chosen(source.pictures)
        left_out += more
        for path in kept:
            by_title.setdefault((_task(path, source), path.stem), []).append((source, path))
    if not by_title:
        return None
    parts = []
    found = sorted({task for task, _ in by_title})
    for task in [*(t for t in TASKS if t in found), *(t for t in found if t not in TASKS)]:
        parts.append(tag("h3", TASKS[task].heading if task in TASKS else task))
        for (of, stem), files in by_title.items():
            if of != task:
                continue
            shown = [
                figure(
                    gathered.album.copied(path, source.name, task, stem),
                    f"{stem} of {_named(source, task, path)}",
                    f"{_named(source, task, path)}: {stem}.",
                )
                for source, path in files
            ]
            parts.append(tag("div", *shown, class_="pair"))
    if left_out:
        words = f"{left_out} more pictures lie beside the records and are not shown."
        parts.append(paragraph(words, kind="note"))
    return Section("figures", "Figures", joined(parts))


def _named(source: Source, task: str, path: Path) -> str:
    """Name a source, with the folder where it is not the task's own."""
    folder = path.parent.name
    aside = source.is_run and folder.startswith(f"{task}-")
    return f"{source.name} ({folder})" if aside else source.name


def _task(path: Path, source: Source) -> str:
    """Tell the task of a picture: by the record beside it, or by the name of the folder."""
    beside = [result.task for result in source.results if result.path.parent == path.parent]
    return beside[0] if beside else path.parent.name
