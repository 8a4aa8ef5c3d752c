"""The metrics of records: where each stands, what it is called, and which way is better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dilo.eval.common.intervals import Interval, wilson
from dilo.eval.common.lookup import find_in
from dilo.eval.common.outcomes import Outcomes, read_outcomes
from dilo.eval.records.reading import Result, Source, number

Better = Literal["more", "less"] | None


@dataclass(frozen=True)
class MetricSpec:
    """A metric, or a family of them, in the records of a task."""

    #: The command whose records hold it.
    task: str
    #: Keys, parted by dots; ``*`` is every item of a list or of an object. What stands there is a
    #: number, or an object with its "value", "low" and "high" ends, and "images".
    path: str
    #: What it is called; a word in braces is a field of the item, ``{key}`` its key.
    label: str
    #: "%", "points", "rank", or "" for a share or an index.
    unit: str = "%"
    #: Which way is better; None where neither is, and so no run is called the better one.
    better: Better = "more"
    #: Path of the number of images that it is a share of; None where it is none.
    images: str | None = None
    #: Where it stands: in the table of all tasks too, in the section of its task alone, or as one
    #: of many classes.
    section: Literal["first", "task", "class"] = "first"
    #: Under what the record keeps which images are right, as `Outcomes`; None where it does not.
    outcomes: str | None = None


@dataclass(frozen=True)
class MetricValue:
    """A metric of a run."""

    #: Run, or other name, that it is of.
    column: str
    #: What it is.
    spec: MetricSpec
    #: The label of the spec, its braces filled.
    label: str
    #: What the braces stand for, and other fields that were passed.
    words: dict[str, str]
    value: float
    #: Its 95 % interval: as the record has it, or of a share of so many images.
    interval: Interval | None
    #: How many images it is a share of.
    images: int | None
    #: The record that it is from.
    result: Result
    #: Which images it counts, where the record keeps that.
    outcomes: Outcomes | None = None

    @property
    def task(self) -> str:
        """Return the command whose record holds it."""
        return self.spec.task

    @property
    def record(self) -> Mapping[str, Any]:
        """Return the record that it is from, as if it were of its own checkpoint alone."""
        own = {key: self.words[key] for key in ("step", "size") if key in self.words}
        return self.result.record | own

    @property
    def unit(self) -> str:
        """Return the unit of the value."""
        return self.spec.unit


#: Images that a set may have; more is a fault of the record.
MOST = 10**12


#: Measures of localisation, and whether each is a share of images.
MEASURES = (
    ("max_box_acc", "MaxBoxAcc", True),
    ("max_box_acc_v2", "MaxBoxAccV2", False),
    ("pixel_ap", "PxAP", False),
    ("corloc", "CorLoc", True),
    ("gt_known_loc", "GT-known localisation", True),
    ("top1_loc", "top-1 localisation", True),
    ("pointing_game", "pointing game", True),
    ("energy_inside", "energy on the object", False),
)


#: Variations of the Backgrounds Challenge: what is seen, and whether more right is better. What
#: a classifier makes of a background alone is neither good nor bad: right answers there, those
#: that stay right too, may come of leaning on backgrounds.
VARIATIONS: dict[str, tuple[str, Better]] = {
    "original": ("of the images as they are", "more"),
    "only_fg": ("of foregrounds alone (only_fg)", "more"),
    "no_fg": ("without the foreground (no_fg)", None),
    "only_bg_b": ("of backgrounds, the object's box black (only_bg_b)", None),
    "only_bg_t": ("of backgrounds, the object's box filled (only_bg_t)", None),
    "mixed_same": ("on a background of the same class (mixed_same)", "more"),
    "mixed_rand": ("on a background of any class (mixed_rand)", "more"),
    "mixed_next": ("on a background of the next class (mixed_next)", "more"),
}


#: Variations whose background is of another class than the object. Only of these can an answer
#: be the background's class and wrong, so fewer such answers are better.
ON_OTHERS = ("mixed_rand", "mixed_next")


#: What becomes of answers when the background changes, and which way is better, by variation.
#: Of right answers that stay right, more is better where more right answers are.
BACKGROUND_RATES: tuple[tuple[str, str, dict[str, Better]], ...] = (
    ("follows_background", "answers of the background's class,", dict.fromkeys(ON_OTHERS, "less")),
    (
        "retained",
        "right answers that stay right,",
        {name: better for name, (_, better) in VARIATIONS.items() if name != "original"},
    ),
)


METRICS = (
    MetricSpec("knn", "results.*.top1", "kNN top-1, k = {k}", images="test_images", outcomes="{k}"),
    MetricSpec("knn", "results.*.top5", "kNN top-5, k = {k}", images="test_images", section="task"),
    MetricSpec("knn", "results.*.per_class.*", "kNN top-1 of {key}, k = {k}", section="class"),
    MetricSpec(
        "linear",
        "last.top1",
        "linear top-1, last epoch",
        images="test_images",
        outcomes="last",
    ),
    MetricSpec("linear", "best.top1", "linear top-1, best epoch", images="test_images"),
    MetricSpec("linear", "last.top5", "linear top-5, last epoch", images="test_images"),
    MetricSpec("linear", "per_class.*", "linear top-1 of {key}", section="class"),
    MetricSpec(
        "linear-fast", "last.top1", "fast linear top-1", images="test_images", outcomes="last"
    ),
    MetricSpec(
        "linear-fast", "last.top5", "fast linear top-5", images="test_images", section="task"
    ),
    MetricSpec("linear-fast", "per_class.*", "fast linear top-1 of {key}", section="class"),
    *(
        MetricSpec(
            "detect",
            f"results.{kind}.{key}",
            f"detection {key} of {words}",
            section="first" if key == "AP" else "task",
        )
        for kind, words in (("box", "boxes"), ("mask", "masks"))
        for key in ("AP", "AP50", "AP75", "APs", "APm", "APl")
    ),
    MetricSpec("detect", "per_class.box.*", "detection AP of {key}", section="class"),
    *(
        MetricSpec(
            "localize",
            f"methods.*.numbers.{key}",
            f"{words}, {{method}} of the {{class}} class",
            images="images" if of_images else None,
            section="first" if key in ("pointing_game", "max_box_acc", "pixel_ap") else "task",
        )
        for key, words, of_images in MEASURES
    ),
    MetricSpec(
        "discovery",
        "methods.*.numbers.corloc",
        "CorLoc of one box an image, by {method}",
        images="images",
    ),
    MetricSpec(
        "discovery",
        "methods.*.numbers.overlap",
        "mean IoU of one box an image, by {method}",
        section="task",
    ),
    *(
        MetricSpec(
            "backgrounds",
            f"results.*.top1.{name}",
            f"accuracy {words}",
            better=better,
            section="first" if name in ("original", "mixed_rand") else "task",
        )
        for name, (words, better) in VARIATIONS.items()
    ),
    MetricSpec("backgrounds", "results.*.bg_gap", "BG-gap", "points", "less"),
    *(
        MetricSpec(
            "backgrounds",
            f"results.*.{key}.{name}",
            f"{what} {VARIATIONS[name][0]}",
            better=better,
            section="task",
        )
        for key, what, directions in BACKGROUND_RATES
        for name, better in directions.items()
    ),
    MetricSpec(
        "backgrounds-retrieval", "results.*.top1", "photographs found first across backgrounds"
    ),
    MetricSpec(
        "backgrounds-retrieval",
        "results.*.top10",
        "photographs found among ten across backgrounds",
        section="task",
    ),
    MetricSpec(
        "backgrounds-retrieval",
        "results.*.median_rank",
        "median rank of the photograph",
        "rank",
        "less",
        section="task",
    ),
    MetricSpec(
        "backgrounds-retrieval",
        "results.*.finds_background",
        "photographs of the background found first",
        better="less",
        section="task",
    ),
    MetricSpec(
        "neighbors",
        "checkpoints.*.precision",
        "neighbours of the query's class, of {k}",
        section="task",
    ),
    MetricSpec(
        "neighbors",
        "checkpoints.*.accuracy",
        "queries classified correctly by their neighbours",
        images="query_images.count",
        section="task",
    ),
)


def metric_values(runs: Sequence[Source], others: Sequence[Source]) -> list[MetricValue]:
    """Take the metrics out of all records, in the order of METRICS."""
    names = {run.name for run in runs}
    results = [(source, result) for source in (*runs, *others) for result in source.shown()]
    return [
        value
        for spec in METRICS
        for source, result in results
        if result.task == spec.task
        for value in _values(spec, source, result, names)
    ]


def _values(
    spec: MetricSpec, source: Source, result: Result, runs: set[str]
) -> Iterator[MetricValue]:
    """Take the values of one metric out of one record."""
    count = next(find_in(result.record, (spec.images or "-").split(".")), (None, {}))[0]
    outer = {"k": str(k)} if (k := result.record.get("k")) is not None else {}
    items = [
        (item, outer | words)
        for item, words in find_in(result.record, spec.path.split("."))
        # Maps that no network made belong to no run.
        if not is_baseline(words) and words.get("method") != "maps"
    ]
    outcomes = read_outcomes(result.record) if spec.outcomes else {}
    alone = source.is_run and len({_owner(words) for _, words in items}) == 1
    for item, words in items:
        measured = item if isinstance(item, Mapping) else {"value": item, "images": count}
        if (value := number(measured.get("value"))) is not None:
            images = _count(measured.get("images"))
            yield MetricValue(
                column=_column(source, "" if alone else _owner(words), runs),
                spec=spec,
                label=spec.label.format_map(_Words(words)),
                words=words,
                value=value,
                interval=_interval(measured, value, images, spec.unit),
                images=images,
                result=result,
                outcomes=outcomes.get((spec.outcomes or "").format_map(_Words(words))),
            )


def paired_intervals(value: MetricValue) -> Iterator[tuple[str, str, Interval]]:
    """List what the record of a value says of its metric's differences.

    Yields the names of the first and of the second, and the 95 % interval of first - second.
    """
    path = value.spec.path.removeprefix("results.*.").split(".")
    for difference, words in find_in(value.result.record, ["pairs", "*", *path]):
        if (
            isinstance(difference, Mapping)
            and (middle := number(difference.get("value"))) is not None
        ):
            interval = _interval(difference, middle, None, value.unit)
            if interval and {"first", "second"} <= words.keys():
                yield words["first"], words["second"], interval


def is_baseline(row: Mapping[str, Any]) -> bool:
    """Check whether a row of a record is of maps that look at no image."""
    return str(row.get("baseline", False)) == "True"


def _interval(
    measured: Mapping[str, Any], value: float, images: int | None, unit: str
) -> Interval | None:
    """Take the interval of a value from its record, or make it where it is a share."""
    low, high = number(measured.get("low")), number(measured.get("high"))
    if low is not None and high is not None:
        return (low, high) if low <= value <= high else None
    if images and unit == "%" and 0 <= value <= 100:
        return wilson(value / 100 * images, images)
    return None


def _count(value: object) -> int | None:
    """Take a value for a number of images, if it is one."""
    count = number(value)
    return int(count) if count and 1 <= count <= MOST else None


def _owner(words: dict[str, str]) -> str:
    """Name what a value is of, without the method that stands at the end of some names."""
    return words.get("name", "").removesuffix(f" {words.get('method', '')}")


def _column(source: Source, name: str, runs: set[str]) -> str:
    """Name whose a value is: a run's, or that of what a record names."""
    if name in runs:
        return name
    return f"{source.name}: {name}" if name else source.name


class _Words(dict[str, str]):
    """Words of a label, with "?" for one that a record lacks."""

    def __missing__(self, key: str) -> str:
        return "?"
