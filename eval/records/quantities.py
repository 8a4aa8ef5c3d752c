"""The numbers of records: where each stands, what it is called, and which way is better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dilo.eval.common.intervals import Ends, interval
from dilo.eval.common.lookup import walk
from dilo.eval.records.reading import Result, Source, number

Better = Literal["more", "less"] | None


@dataclass(frozen=True)
class Quantity:
    """A number, or a family of them, in the records of a task.

    Attributes
    ----------
    task : str
        The command whose records hold it.
    path : str
        Keys, parted by dots; ``*`` is every item of a list or of an object. What stands there
        is a number, or an object with its "value", "low" and "high" ends, and "images".
    label : str
        What it is called; a word in braces is a field of the item, ``{key}`` its key.
    unit : str
        "%", "points", or "" for a share or an index.
    better : {"more", "less"} or None
        Which way is better; None where neither is, and so no run is called the better one.
    images : str or None
        Path of the number of images that it is a share of; None where it is none.
    place : {"first", "section", "class"}
        Where it stands: at the beginning of the page too, in the section of its task alone, or
        as one of many classes.
    told : bool
        Whether the summary tells it.
    """

    task: str
    path: str
    label: str
    unit: str = "%"
    better: Better = "more"
    images: str | None = None
    place: Literal["first", "section", "class"] = "first"
    told: bool = False


@dataclass(frozen=True)
class Number:
    """A number of a run.

    Attributes
    ----------
    column : str
        Run, or other name, that it is of.
    quantity : Quantity
        What it is.
    label : str
        Of the quantity, without braces.
    words : dict of str to str
        What the braces stand for, and other fields that were passed.
    value : float
        The number.
    ends : (float, float) or None
        Its 95 % interval: as the record has it, or of a share of so many images.
    images : int or None
        How many images it is a share of.
    result : Result
        The record that it is from.
    """

    column: str
    quantity: Quantity
    label: str
    words: dict[str, str]
    value: float
    ends: Ends | None
    images: int | None
    result: Result

    @property
    def task(self) -> str:
        """The command whose record holds it.

        Returns
        -------
        str
            As of the quantity.
        """
        return self.quantity.task

    @property
    def unit(self) -> str:
        """Unit of the value.

        Returns
        -------
        str
            As of the quantity.
        """
        return self.quantity.unit


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
FATES: tuple[tuple[str, str, dict[str, Better]], ...] = (
    ("follows_background", "answers of the background's class,", dict.fromkeys(ON_OTHERS, "less")),
    (
        "kept",
        "right answers that stay right,",
        {name: better for name, (_, better) in VARIATIONS.items() if name != "original"},
    ),
)


QUANTITIES = (
    Quantity("knn", "results.*.top1", "kNN top-1, k = {k}", images="test_images", told=True),
    Quantity("knn", "results.*.top5", "kNN top-5, k = {k}", images="test_images", place="section"),
    Quantity("knn", "results.*.per_class.*", "kNN top-1 of {key}, k = {k}", place="class"),
    Quantity("linear", "last.top1", "linear top-1, last epoch", images="test_images", told=True),
    Quantity("linear", "best.top1", "linear top-1, best epoch", images="test_images"),
    Quantity("linear", "last.top5", "linear top-5, last epoch", images="test_images"),
    Quantity("linear", "per_class.*", "linear top-1 of {key}", place="class"),
    Quantity("linear-fast", "last.top1", "fast linear top-1", images="test_images", told=True),
    Quantity(
        "linear-fast", "last.top5", "fast linear top-5", images="test_images", place="section"
    ),
    Quantity("linear-fast", "per_class.*", "fast linear top-1 of {key}", place="class"),
    *(
        Quantity(
            "localize",
            f"methods.*.numbers.{key}",
            f"{words}, {{method}} of the {{class}} class",
            images="images" if of_images else None,
            place="first" if key in ("pointing_game", "max_box_acc", "pixel_ap") else "section",
            told=key in ("pointing_game", "max_box_acc"),
        )
        for key, words, of_images in MEASURES
    ),
    *(
        Quantity(
            "backgrounds",
            f"results.*.top1.{name}",
            f"accuracy {words}",
            better=better,
            place="first" if name in ("original", "mixed_rand") else "section",
        )
        for name, (words, better) in VARIATIONS.items()
    ),
    Quantity("backgrounds", "results.*.bg_gap", "BG-gap", "points", "less", told=True),
    *(
        Quantity(
            "backgrounds",
            f"results.*.{key}.{name}",
            f"{what} {VARIATIONS[name][0]}",
            better=better,
            place="section",
        )
        for key, what, directions in FATES
        for name, better in directions.items()
    ),
    Quantity("backgrounds", "results.*.challenge", "Backgrounds Challenge accuracy"),
    Quantity(
        "neighbors",
        "checkpoints.*.precision",
        "neighbours of the query's class, of {k}",
        place="section",
    ),
    Quantity(
        "neighbors",
        "checkpoints.*.accuracy",
        "queries that neighbours classify rightly",
        images="asked.count",
        place="section",
    ),
)


def numbers(runs: Sequence[Source], others: Sequence[Source]) -> list[Number]:
    """Take the numbers out of records.

    Parameters
    ----------
    runs : sequence of Source
        The runs.
    others : sequence of Source
        Folders that belong to no single run; what is named like a run there is that run's.

    Returns
    -------
    list of Number
        In the order of `QUANTITIES`, then of the sources; what a record lacks is not there.
    """
    names = {run.name for run in runs}
    results = [(run, result) for run in runs for result in run.chosen()]
    results += [
        (run.aside(result), result)
        for run in runs
        for first in run.chosen()
        for result in run.asides(first.task)
    ]
    results += [(other, result) for other in others for result in other.results]
    return [
        found
        for quantity in QUANTITIES
        for source, result in results
        if result.task == quantity.task
        for found in _numbers(quantity, source, result, names)
    ]


def _numbers(
    quantity: Quantity, source: Source, result: Result, runs: set[str]
) -> Iterator[Number]:
    """Take the numbers of one quantity out of one record."""
    count = next(walk(result.record, (quantity.images or "-").split(".")), (None, {}))[0]
    outer = {"k": str(k)} if (k := result.record.get("k")) is not None else {}
    found = [
        (item, outer | words)
        for item, words in walk(result.record, quantity.path.split("."))
        # Maps that no network made belong to no run.
        if words.get("floor") != "True" and words.get("method") != "maps"
    ]
    alone = source.is_run and len({_owner(words) for _, words in found}) == 1
    for item, words in found:
        measured = item if isinstance(item, Mapping) else {"value": item, "images": count}
        if (value := number(measured.get("value"))) is not None:
            images = _count(measured.get("images"))
            yield Number(
                column=_column(source, "" if alone else _owner(words), runs),
                quantity=quantity,
                label=quantity.label.format_map(_Words(words)),
                words=words,
                value=value,
                ends=_ends(measured, value, images, quantity.unit),
                images=images,
                result=result,
            )


def _ends(measured: Mapping[str, Any], value: float, images: int | None, unit: str) -> Ends | None:
    """Take the interval of a number from its record, or make it where it is a share."""
    low, high = number(measured.get("low")), number(measured.get("high"))
    if low is not None and high is not None:
        return (low, high) if low <= value <= high else None
    if images and unit == "%" and 0 <= value <= 100:
        return interval(value, images)
    return None


def _count(value: object) -> int | None:
    """Take a value for a number of images, if it is one."""
    found = number(value)
    return int(found) if found and 1 <= found <= MOST else None


def _owner(words: dict[str, str]) -> str:
    """Name what a number is of, without the method that stands at the end of some names."""
    return words.get("name", "").removesuffix(f" {words.get('method', '')}")


def _column(source: Source, name: str, runs: set[str]) -> str:
    """Name whose a number is: a run's, or that of what a record names."""
    if name in runs:
        return name
    return f"{source.name}: {name}" if name else source.name


class _Words(dict[str, str]):
    """Words of a label, with "?" for one that a record lacks."""

    def __missing__(self, key: str) -> str:
        return "?"
