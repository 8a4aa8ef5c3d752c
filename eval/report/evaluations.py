"""The sections of what was measured: a table a data set, plots, and how it was measured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dilo.eval.common.lookup import find_in
from dilo.eval.records.comparison import Comparison, DataSet
from dilo.eval.records.metrics import MEASURES, MetricValue, is_baseline
from dilo.eval.records.reading import Source, number
from dilo.eval.report.content import NOTHING, Cell, Figure, ReportData, Table, heading
from dilo.eval.report.plots import Line, dots_plot, lines_plot
from dilo.eval.report.summary import difference_table, metric_table

#: Classes of a plot, at most: those in which runs differ most.
CLASSES = 40


@dataclass
class TaskSection:
    """The section of a task."""

    task: str
    #: What forbids to compare the runs.
    warnings: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    #: Listed below the tables.
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    #: How it was measured.
    conditions: list[Table] = field(default_factory=list)

    @property
    def heading(self) -> str:
        """Return what the task is called."""
        return heading(self.task)


def task_section(data: ReportData, task: str) -> TaskSection | None:
    """Show the metrics of a task, a table a data set; None where there are none."""
    section = TaskSection(task, data.warnings(task))
    several = len(data.sets[task]) > 1
    for part in data.sets[task]:
        columns = data.columns(part)
        rows = data.comparisons(part, columns)
        if not rows:
            continue
        caption = f"On {part.name}" if several else ""
        if shown := [row for row in rows if row.first.spec.section != "class"]:
            section.tables.append(metric_table([(None, shown)], columns, caption))
            if table := difference_table(shown, columns, caption):
                section.tables.append(table)
        for draw in PLOTS.get(task, ()):
            section.figures += draw(data, part, rows)
        section.figures += _per_class(data, part, rows)
        section.conditions += conditions_table(data, rows, caption)
    if task in ("linear", "detect"):
        section.notes = [_protocol(source, r.record) for source, r in data.records(task)]
    elif task == "linear-fast":
        section.notes = [FAST]
    if task == "detect":
        section.tables += _published_tables(data)
    return section if section.tables or section.figures else None


#: What a fast probe is not.
FAST = (
    "Not the protocol of any paper: features were made once, of the middle of each image, and the "
    "learning rate was chosen by a part of the training images."
)


def conditions_table(data: ReportData, rows: Sequence[Comparison], caption: str) -> list[Table]:
    """Say how the values of some rows were measured, with a column a record."""
    conditions = data.conditions(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    cells = [
        [c.words, *(c.values.get(n, NOTHING) for n in columns), "differs" if c.differs else ""]
        for c in conditions
    ]
    return [Table(["", *columns, ""], cells, caption, numbers=False)] if cells else []


def _protocol(source: Source, record: Mapping[str, Any]) -> str:
    """Say by which protocol a linear probe was trained, and how it deviates from it."""
    protocol = record.get("protocol")
    name = protocol.get("name") if isinstance(protocol, dict) else protocol
    words = f"{source.name}: protocol {name if isinstance(name, str) else 'unknown'}"
    if record.get("is_protocol") is False:
        words += ", but not as published"
    deviations = record.get("deviations")
    if isinstance(deviations, list) and deviations:
        words += f": {', '.join(map(str, deviations))}"
    return words


def _published_tables(data: ReportData) -> list[Table]:
    """Show what others got by the protocols of detection."""
    rows: dict[str, list[list[str]]] = {}
    for _, result in data.records("detect"):
        name, published = result.record.get("protocol"), result.record.get("published")
        if isinstance(name, str) and isinstance(published, list) and published:
            rows[name] = [_published_row(row) for row in published if isinstance(row, dict)]
    head = ["", *(f"{kind} {name}" for kind in ("box", "mask") for name in ("AP", "AP50", "AP75"))]
    return [
        Table(head, cells, f"Published, by {name}: ResNet-50 of ImageNet")
        for name, cells in rows.items()
    ]


def _published_row(row: Mapping[str, Any]) -> list[str]:
    """Write a row of somebody's table."""
    cells = []
    for kind in ("box", "mask"):
        values = row.get(kind)
        numbers = values if isinstance(values, list) and len(values) == 3 else [None] * 3
        cells += [f"{x:.1f}" if isinstance(x, int | float) else NOTHING for x in numbers]
    return [f"{row.get('backbone', '?')} ({row.get('source', '?')})", *cells]


def _named(words: str, data: ReportData, part: DataSet) -> str:
    """Name a plot by its data set, where the task has several."""
    return f"{part.name}: {words}" if len(data.sets[part.task]) > 1 else words


def _per_class(data: ReportData, part: DataSet, rows: Sequence[Comparison]) -> list[Figure]:
    """Draw a row a class, those first in which the runs differ most."""
    classes = [row for row in rows if row.first.spec.section == "class"]
    if not classes:
        return []
    ks = [row.first.words.get("k") for row in classes]
    k = "20" if "20" in ks else ks[0]
    classes = [row for row in classes if row.first.words.get("k") == k]
    classes.sort(key=_spread, reverse=True)
    shown = classes[:CLASSES]
    labels = [row.first.words["key"] for row in shown]
    values = {
        column: {row.first.words["key"]: v.value for row in shown if (v := row.values.get(column))}
        for column in data.columns(part)
    }
    path = data.images.path(part.task, "classes")
    metric = shown[0].first.spec.label.replace(" of {key}", "").format(k=k)
    dots_plot(values, path, across=f"{metric}, %", labels=labels)
    first = ", those first in which runs differ most" if len(values) > 1 else ""
    caption = f"{_named(metric, data, part)} of each class{first}."
    if len(classes) > CLASSES:
        caption += f" {CLASSES} of {len(classes)} classes; numbers.csv has all."
    return [Figure(data.images.embed(path), f"{metric} by class, a dot a run", caption)]


def _spread(row: Comparison) -> float:
    """Return how far runs lie apart."""
    values = [value.value for value in row.values.values()]
    return max(values) - min(values)


def _knn_by_k(data: ReportData, part: DataSet, rows: Sequence[Comparison]) -> list[Figure]:
    """Draw kNN by the number of neighbours."""
    lines = []
    for column in data.columns(part):
        values = [
            value
            for row in rows
            if (value := row.values.get(column)) and value.spec.path == "results.*.top1"
        ]
        values = sorted((v for v in values if v.words.get("k", "").isdecimal()), key=_k)
        intervals = [value.interval for value in values if value.interval]
        lines.append(
            Line(
                column,
                [_k(value) for value in values],
                [value.value for value in values],
                intervals if intervals and len(intervals) == len(values) else None,
            )
        )
    if not any(len(line.across) > 1 for line in lines):
        return []
    path = data.images.path("knn-by-k")
    lines_plot(lines, path, across="k, neighbours that vote", up="kNN top-1, %", log=True)
    caption = "kNN top-1 by the number of neighbours; shaded: 95 % intervals."
    picture = data.images.embed(path)
    return [Figure(picture, "kNN top-1 by k, a line a run", _named(caption, data, part))]


def _k(value: MetricValue) -> float:
    """Return the number of neighbours."""
    return float(value.words["k"])


def _linear_epochs(data: ReportData, part: DataSet, _: Sequence[Comparison]) -> list[Figure]:
    """Draw the accuracy of linear probes over their epochs."""
    lines = []
    for source, result in part.results:
        pairs = [
            (number(epoch.get("epoch")), number(epoch.get("top1")))
            for epoch, _ in find_in(result.record, ["epochs", "*"])
            if isinstance(epoch, dict)
        ]
        points = [(across, up) for across, up in pairs if across is not None and up is not None]
        lines.append(Line(source.name, [p[0] for p in points], [p[1] for p in points]))
    if not any(len(line.across) > 1 for line in lines):
        return []
    path = data.images.path("linear-epochs")
    lines_plot(lines, path, across="Epoch of the probe", up="linear top-1, %")
    caption = "Accuracy on the test images after each epoch of the probe."
    picture = data.images.embed(path)
    words = "Linear top-1 over the epochs of the probe"
    return [Figure(picture, words, _named(caption, data, part))]


def _variations(data: ReportData, part: DataSet, rows: Sequence[Comparison]) -> list[Figure]:
    """Draw the accuracy on each variation."""
    begin = "results.*.top1."
    values: dict[str, dict[str, float]] = {name: {} for name in data.columns(part)}
    labels = []
    for row in rows:
        if row.first.spec.path.startswith(begin):
            labels.append(row.first.spec.path.removeprefix(begin))
            for column, value in row.values.items():
                values[column][labels[-1]] = value.value
    if not labels:
        return []
    path = data.images.path("backgrounds")
    dots_plot(values, path, across="accuracy, %", labels=labels)
    caption = "Accuracy by what is shown; mixed_same less mixed_rand is the BG-gap."
    picture = data.images.embed(path)
    return [Figure(picture, "Accuracy by variation, a dot a run", _named(caption, data, part))]


#: What is drawn below the tables of a task.
PLOTS: dict[str, tuple[Callable[[ReportData, DataSet, Sequence[Comparison]], list[Figure]], ...]]
PLOTS = {
    "knn": (_knn_by_k,),
    "linear": (_linear_epochs,),
    "backgrounds": (_variations,),
}


@dataclass(frozen=True)
class Column:
    """A column of a table of maps or masks."""

    #: Where it stands in a row of the record.
    path: str
    head: str
    #: After the point.
    digits: int = 1


LOCALISATION = tuple(Column(f"numbers.{key}", f"{words}, %") for key, words, _ in MEASURES)
MASKS = (
    Column("numbers.max_f_benchmark", "max F", 3),
    Column("numbers.mean_f", "mean F", 3),
    Column("numbers.weighted_f", "weighted F", 3),
    Column("numbers.iou", "IoU", 3),
    Column("numbers.mae", "MAE (less is better)", 3),
    Column("numbers.s_measure", "S", 3),
    Column("numbers.e_measure_max", "max E", 3),
)


def localisation_section(data: ReportData) -> TaskSection | None:
    """Show where maps look, above the baselines that look at no image."""
    section = TaskSection("localize", data.warnings("localize"))
    for part in data.sets["localize"]:
        rows = list(_maps(part))
        if not rows:
            continue
        counts = sorted({_images_of(result.record) for _, result in part.results})
        caption = ", ".join(filter(None, [part.name, " / ".join(counts)]))
        section.tables.append(_localisation_table(rows, caption))
        compared = data.comparisons(part, data.columns(part))
        section.conditions += conditions_table(data, compared, caption)
    return section if section.tables else None


Row = tuple[str, Mapping[str, Any], Sequence[Mapping[str, Any]]]


def _maps(part: DataSet) -> Iterator[Row]:
    """List the maps of a data set: name, row, and the baselines of its record; equal ones once."""
    shown: dict[str, Mapping[str, Any]] = {}
    for source, result in part.results:
        methods = [
            row for row, _ in find_in(result.record, ["methods", "*"]) if isinstance(row, Mapping)
        ]
        baselines = [row for row in methods if is_baseline(row)]
        for row in methods:
            name = _map_name(source, row)
            if shown.get(name) == row:
                continue
            if name in shown:  # of crops of another size
                name = f"{name} ({source.name})"
            shown[name] = row
            yield name, row, baselines


def _map_name(source: Source, row: Mapping[str, Any]) -> str:
    """Name a row: whose map, by which method, of which class."""
    method, rule = row.get("method"), row.get("class")
    if source.is_run and isinstance(rule, str):
        return f"{source.name}, {method} of the {rule} class"
    return str(row.get("name", "?")) + (f", of the {rule} class" if isinstance(rule, str) else "")


def _localisation_table(rows: Sequence[Row], caption: str) -> Table:
    """Write a row a kind of maps, the baselines last."""
    columns = [c for c in LOCALISATION if any(_value(row, c) is not None for _, row, _ in rows)]
    cells = [
        [name, *(_cell(row, column, baselines) for column in columns)]
        for name, row, baselines in sorted(rows, key=lambda item: is_baseline(item[1]))
    ]
    return Table(["", *(column.head for column in columns)], cells, caption)


def _cell(
    row: Mapping[str, Any], column: Column, baselines: Sequence[Mapping[str, Any]] = ()
) -> Cell | str:
    """Write a measure, with a sign where it does not exceed the best baseline."""
    value = _value(row, column)
    if value is None:
        return NOTHING
    text = f"{value:.{column.digits}f}"
    best = max((v for other in baselines if (v := _value(other, column)) is not None), default=None)
    if best is None or is_baseline(row) or value > best:
        return text
    return Cell(text, sign="▽", meaning="does not exceed the best baseline")


def _value(row: Mapping[str, Any], column: Column) -> float | None:
    """Take a measure out of a row."""
    return next((number(value) for value, _ in find_in(row, column.path.split("."))), None)


def _images_of(record: Mapping[str, Any]) -> str:
    """Say of how many images a record is."""
    images = number(record.get("images"))
    return "" if images is None else f"{images:,.0f} images"


def masks_section(data: ReportData) -> TaskSection | None:
    """Show what masks score against ground truth, a table a record."""
    section = TaskSection("saliency")
    for source, result in data.records("saliency"):
        rows = [
            [str(row.get("method", "?")), *(_cell(row, column) for column in MASKS)]
            for row, _ in find_in(result.record, ["methods", "*"])
            if isinstance(row, Mapping)
        ]
        words = filter(None, [_images_of(result.record), f"truth {result.record.get('truth')}"])
        caption = f"{source.name}: {', '.join(words)}"
        section.tables.append(Table(["", *(column.head for column in MASKS)], rows, caption))
    return section if section.tables else None
