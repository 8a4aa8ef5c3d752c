"""All that the page is made of: runs, other results, numbers, and where the pictures go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dilo.eval.records.comparison import Comparison, comparisons
from dilo.eval.records.conditions import Setting, differing, settings
from dilo.eval.records.quantities import Number, numbers
from dilo.eval.records.reading import Result, Source
from dilo.eval.report.markup import Markup, escape, joined, paragraph, table, tag
from dilo.eval.report.pictures import Album, Picture
from dilo.eval.report.words import NOTHING


@dataclass(frozen=True)
class Gathered:
    """What was read.

    Attributes
    ----------
    runs : list of Source
        Side by side, in the order given.
    others : list of Source
        Folders that belong to no single run.
    numbers : list of Number
        Of all of them.
    album : Album
        Where pictures go.
    """

    runs: list[Source]
    others: list[Source]
    numbers: list[Number]
    album: Album

    @property
    def names(self) -> list[str]:
        """What the runs are called.

        Returns
        -------
        list of str
            In their order.
        """
        return [run.name for run in self.runs]

    @property
    def sources(self) -> list[Source]:
        """All that was read.

        Returns
        -------
        list of Source
            The runs first.
        """
        return [*self.runs, *self.others]

    def comparisons(self, task: str | None = None) -> list[Comparison]:
        """Put numbers side by side.

        Parameters
        ----------
        task : str, optional
            The command; all, where none is given.

        Returns
        -------
        list of Comparison
            Of the runs; of a task, also of what else its records name.
        """
        if task is None:
            return comparisons(self.numbers, self.names)
        numbers = [number for number in self.numbers if number.task == task]
        return comparisons(numbers, self.columns(task))

    def columns(self, task: str) -> list[str]:
        """Name what has numbers of a task.

        Parameters
        ----------
        task : str
            The command.

        Returns
        -------
        list of str
            The runs first.
        """
        beside = self.asides(task)
        found = dict.fromkeys(number.column for number in self.numbers if number.task == task)
        runs = [name for name in self.names if name in found]
        return [*runs, *(name for name in found if name not in runs and name not in beside)]

    def asides(self, task: str) -> list[str]:
        """Name the records of runs that stand beside the first of their task.

        Parameters
        ----------
        task : str
            The command.

        Returns
        -------
        list of str
            What the columns of their numbers are called.
        """
        return [run.aside(result).name for run in self.runs for result in run.asides(task)]

    def records(self, task: str) -> Iterator[tuple[Source, Result]]:
        """List the records of a task.

        Parameters
        ----------
        task : str
            The command.

        Yields
        ------
        (Source, Result)
            The chosen one of each run, and those of other images or settings beside it; all
            of the other folders.
        """
        for run in self.runs:
            if result := run.result(task):
                yield run, result
            yield from ((run.aside(result), result) for result in run.asides(task))
        for other in self.others:
            yield from ((other, result) for result in other.results if result.task == task)

    def differing(self, task: str) -> list[Setting]:
        """Find what forbids to compare the numbers of runs.

        Parameters
        ----------
        task : str
            The command.

        Returns
        -------
        list of Setting
            What differs between their records.
        """
        records = {run.name: r.record for run in self.runs if (r := run.result(task))}
        return differing(task, records)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    anchor : str
        Its name in links.
    heading : str
        What it is called.
    body : Markup
        What it says.
    """

    anchor: str
    heading: str
    body: Markup


def gather(runs: list[Source], others: list[Source], out: Path) -> Gathered:
    """Take numbers out of what was read.

    Parameters
    ----------
    runs, others : list of Source
        What was read.
    out : Path
        The output folder.

    Returns
    -------
    Gathered
        Ready to be shown.
    """
    return Gathered(runs, others, numbers(runs, others), Album(out))


def figure(
    picture: Picture | None, alternative: str, caption: object, narrow: Picture | None = None
) -> Markup:
    """Show a picture.

    Parameters
    ----------
    picture : Picture or None
        Which; none shows nothing.
    alternative : str
        What it shows, for those who cannot see it.
    caption : object
        Below it.
    narrow : Picture, optional
        What narrow screens show in its place.

    Returns
    -------
    Markup
        The figure.
    """
    if picture is None:
        return Markup()
    note = None
    if not picture.data:
        note = f" Not in this page, which would be too large: see {picture.file} beside it."
    elif picture.shrunk:
        note = f" Made smaller here; {picture.file} beside this page is the whole picture."
    size = {"width": picture.width, "height": picture.height}
    shown = tag("img", src=picture.data, alt=alternative, **size) if picture.data else None
    if shown and narrow and narrow.data:
        source = tag("source", media="(max-width: 40rem)", srcset=narrow.data)
        shown = tag("picture", source, shown)
    words = tag("figcaption", escape(caption), note)
    return tag("figure", shown, words, class_="whole" if narrow else None)


def warning(gathered: Gathered, task: str) -> Markup:
    """Say what forbids to compare the numbers of a task.

    Parameters
    ----------
    gathered : Gathered
        What was read.
    task : str
        The command.

    Returns
    -------
    Markup
        A paragraph, or nothing.
    """
    found = "; ".join(setting.sentence() for setting in gathered.differing(task))
    if not found:
        return Markup()
    return paragraph(tag("strong", "Not measured alike: "), found, ".", kind="warning")


def measured(found: Sequence[Comparison]) -> Markup:
    """Say how numbers of a task were measured.

    Parameters
    ----------
    found : sequence of Comparison
        At least one, all of the task.

    Returns
    -------
    Markup
        A table with a column a record; nothing where the records do not tell.
    """
    records = {n.column: n.result.record for c in found for n in c.numbers.values()}
    told = settings(found[0].first.task, records)
    if not told:
        return Markup()
    rows = [
        [
            s.words,
            *(s.values.get(name, NOTHING) for name in records),
            "differs" if s.differs else "",
        ]
        for s in told
    ]
    head = ["", *records, ""]
    return joined([tag("h3", "How it was measured"), table(head, rows, numbers=False)])
