"""What a linear evaluation found: its record, and its lines of text."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilo.eval.common.inputs import listing
from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.linear.protocols import Protocol, departures
from dilo.eval.linear.scoring import Score
from dilo.eval.linear.sweep import Sweep, Swept
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.images.names import escaped
from dilo.train.data.evaluation import EvalImages


@dataclass(frozen=True)
class EpochResult:
    """What an epoch came to.

    Attributes
    ----------
    epoch : int
        Epochs trained: 1 after the first.
    lr : float
        The learning rate of its last step.
    loss : float
        Mean over its training images, as each was when it was met.
    top1, top5 : float
        Per cent of the test images after it.
    """

    epoch: int
    lr: float
    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a probe ended.

    Attributes
    ----------
    curve : tuple of EpochResult
        Every epoch.
    per_class : dict of str to float
        Top-1 of each class after the last epoch, in per cent.
    classes : int
        Classes of the layer.
    train_images, test_images : int
        Images that could be read.
    unreadable : tuple of (str, str)
        Path of each of the others, and why.
    classifier : Path or None
        The last epoch's layer with its trunk; None where a signal came before the end.
    ranks : int
        Processes that trained together.
    signal : str
        What asked it to stop; empty if nothing did.
    folder : Path or None
        Where the result goes; None where a signal came before the end.
    """

    curve: tuple[EpochResult, ...]
    per_class: dict[str, float] = field(default_factory=dict)
    classes: int = 0
    train_images: int = 0
    test_images: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    classifier: Path | None = None
    ranks: int = 1
    signal: str = ""
    folder: Path | None = None

    @property
    def best(self) -> EpochResult:
        """Give the epoch with the highest top-1, which the MoCo repository calls best_acc1.

        Returns
        -------
        EpochResult
            The first of equals.
        """
        return max(self.curve, key=lambda result: result.top1)


def reasons(folder: LabelledFolder, positions: Iterable[int]) -> list[tuple[str, str]]:
    """Read images again that could not be read, for the reasons, which ranks do not exchange.

    Parameters
    ----------
    folder : LabelledFolder
        Where they are.
    positions : iterable of int
        Which.

    Returns
    -------
    list of (str, str)
        Path of each, and why it could not be read.
    """
    again = EvalImages(folder.root, folder.names, 1)
    told = []
    for position in positions:
        _, reason = again[position]
        words = reason if isinstance(reason, str) else "could not be read when it was its turn"
        told.append((str(folder.root / escaped(folder.names[position])), words))
    return told


#: Classes named on a terminal, the best and the worst; the record has all.
NAMED = 3


FAST_WORDS = (
    "this is not the published protocol: features were made once, of the middle of each image, "
    "and the learning rate was chosen by a part of the training images"
)


def linear_record(
    encoder: Encoder, protocol: Protocol, outcome: Outcome, *, precision: str, seed: int
) -> dict[str, Any]:
    """Gather what --json prints of a probe by a protocol.

    Parameters
    ----------
    encoder : Encoder
        The trunk.
    protocol : Protocol
        How the layer was trained.
    outcome : Outcome
        How it ended.
    precision : str
        Of the trunk while training.
    seed : int
        Of the weights at the beginning, the order, the crops.

    Returns
    -------
    dict
        Settings, the curve, the best epoch and the last, accuracies in per cent.
    """
    changes = departures(protocol)
    return {
        **_trunk("linear", encoder),
        "fast": False,
        "protocol": dataclasses.asdict(protocol),
        "is_protocol": not changes,
        "departures": changes,
        "precision": precision,
        "seed": seed,
        "ranks": outcome.ranks,
        "epochs": [dataclasses.asdict(result) for result in outcome.curve],
        "best": _told(outcome.best),
        "last": _told(outcome.curve[-1]),
        "per_class": outcome.per_class,
        "classes": outcome.classes,
        "train_images": outcome.train_images,
        "test_images": outcome.test_images,
        "unreadable": _unreadable(outcome.unreadable),
        "trunk_unchanged": True,  # or there would be no outcome
        "classifier": str(outcome.classifier),
    }


def fast_record(
    encoder: Encoder,
    bank: Features,
    queries: Features,
    asked: Sweep,
    swept: Swept,
    scored: Score,
    by_class: dict[str, float],
) -> dict[str, Any]:
    """Gather what --json prints of a sweep over features made once.

    Parameters
    ----------
    encoder : Encoder
        The trunk.
    bank, queries : Features
        Of the training and of the test images.
    asked : Sweep
        What was tried.
    swept : Swept
        What was found.
    scored : Score
        Of the best layer, on the test images.
    by_class : dict of str to float
        Its top-1 of each class.

    Returns
    -------
    dict
        Settings, the table of the sweep, accuracies in per cent.
    """
    return {
        **_trunk("linear-fast", encoder),
        "fast": True,
        "protocol": {"name": "fast", **dataclasses.asdict(asked)},
        "is_protocol": False,
        "departures": [FAST_WORDS],
        "seed": asked.seed,
        "sweep": [dataclasses.asdict(one) for one in swept.tried],
        "chosen": dataclasses.asdict(swept.best),
        "held_out": swept.held_out,
        "held_out_noise": swept.noise,
        "near_the_best": swept.near,
        "last": {"epoch": asked.epochs, "top1": scored.top1, "top5": scored.top5},
        "per_class": by_class,
        "classes": len(bank.classes),
        "train_images": len(bank.labels),
        "test_images": len(queries.labels),
        "inputs": {"train": listing(bank), "test": listing(queries)},
        "unreadable": _unreadable(
            (str(part.root / path), reason)
            for part in (bank, queries)
            for path, reason in part.unreadable
        ),
    }


def _trunk(task: str, encoder: Encoder) -> dict[str, Any]:
    """Say what was read out."""
    return {
        "task": task,
        "checkpoint": str(encoder.source),
        "step": encoder.step,
        "size": encoder.size,
        "arch": encoder.model.arch,
        "space": encoder.space,
    }


def _told(result: EpochResult) -> dict[str, Any]:
    """Keep of an epoch what is compared."""
    return {"epoch": result.epoch, "top1": result.top1, "top5": result.top5}


def _unreadable(found: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Name the images left out."""
    return [{"path": path, "reason": reason} for path, reason in found]


def linear_lines(record: dict[str, Any]) -> list[str]:
    """Say for people what a probe found.

    Parameters
    ----------
    record : dict
        What `linear_record` gathered.

    Returns
    -------
    list of str
        Lines.
    """
    name = record["protocol"]["name"]
    return [
        f"linear probe, protocol {name}"
        + ("" if record["is_protocol"] else f", but not as published: {_list(record)}"),
        *(
            f"{which} epoch, {record[which]['epoch']:>3}: top-1 {record[which]['top1']:.2f} %, "
            f"top-5 {record[which]['top5']:.2f} %"
            for which in ("best", "last")
        ),
        *_common(record),
        *_learnt(record),
        "the trunk is to the last bit what the checkpoint holds",
    ]


def _learnt(record: dict[str, Any]) -> list[str]:
    """Warn where guessing would have had a smaller loss: the rate is of other features."""
    loss, guessing = record["epochs"][-1]["loss"], math.log(record["classes"])
    if loss <= guessing:
        return []
    return [
        f"the last epoch's loss, {loss:.4g}, is above that of guessing, {guessing:.4g}: the "
        "learning rate may be too high for these features; --fast tries many"
    ]


def fast_lines(record: dict[str, Any]) -> list[str]:
    """Say for people what a sweep found.

    Parameters
    ----------
    record : dict
        What `fast_record` gathered.

    Returns
    -------
    list of str
        Lines.
    """
    chosen, last, tried = record["chosen"], record["last"], record["sweep"]
    rates = sorted({one["lr"] for one in tried})
    decays = sorted({one["weight_decay"] for one in tried})
    cells = {(one["lr"], one["weight_decay"]): one["top1"] for one in tried}
    lines = [
        f"top-1 on {record['held_out']} training images held out, by learning rate and decay:",
        f"{'lr':>10}" + "".join(f"{f'wd {decay:g}':>10}" for decay in decays),
    ]
    for lr in rates:
        row = (cells[lr, decay] for decay in decays)
        words = ("diverged" if top1 is None else f"{top1:.2f} %" for top1 in row)
        lines.append(f"{lr:>10g}" + "".join(f"{word:>10}" for word in words))
    if len(rates) > 1 and chosen["lr"] in (rates[0], rates[-1]):
        lines.append("the best learning rate is at the end of the list: one beyond may be better")
    return [
        *lines,
        f"chosen: lr {chosen['lr']:g}, weight decay {chosen['weight_decay']:g}",
        f"it has the smallest loss, {chosen['loss']:.4g}, of the {record['near_the_best']} within "
        f"{record['held_out_noise']:.2g} points of the highest top-1, which {record['held_out']} "
        "images do not tell apart",
        f"on the test images: top-1 {last['top1']:.2f} %, top-5 {last['top5']:.2f} %",
        *_common(record),
        FAST_WORDS,
    ]


def _common(record: dict[str, Any]) -> list[str]:
    """Say what stands behind the numbers, what chance gives, and which classes stand out."""
    classes = record["classes"]
    return [
        f"chance: {100 / classes:.2f} %, {100 * min(5, classes) / classes:.2f} %; "
        f"{record['train_images']} training and {record['test_images']} test images, "
        f"{classes} classes, {len(record['unreadable'])} left out",
        *_extremes(record["per_class"]),
    ]


def _extremes(by_class: dict[str, float]) -> list[str]:
    """Name the best and the worst classes, where there are more than both."""
    ranked: Sequence[tuple[str, float]] = sorted(by_class.items(), key=lambda pair: -pair[1])
    if len(ranked) <= 2 * NAMED:
        return [f"by class: {_classes(ranked)}"]
    return [f"best classes: {_classes(ranked[:NAMED])}; worst: {_classes(ranked[-NAMED:])}"]


def _classes(some: Iterable[tuple[str, float]]) -> str:
    """Write classes and their top-1."""
    return ", ".join(f"{name} {top1:.1f} %" for name, top1 in some)


def _list(record: dict[str, Any]) -> str:
    """Write the departures from a protocol."""
    return "; ".join(record["departures"])
