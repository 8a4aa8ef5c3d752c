"""The results of a linear evaluation: its record, and its table."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from dilo.eval.common.inputs import listing
from dilo.eval.common.outcomes import outcomes_record
from dilo.eval.common.results import record_head, skipped_images
from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.linear.protocols import Protocol, deviations
from dilo.eval.linear.scoring import per_class, topk_accuracy
from dilo.eval.linear.sweep import SweepConfig, SweepResult
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.images.names import escaped
from dilo.train.data.evaluation import EvalImages


@dataclass(frozen=True)
class EpochResult:
    """What an epoch came to."""

    #: Epochs trained: 1 after the first.
    epoch: int
    #: The learning rate of its last step.
    lr: float
    #: Mean over its training images, as each was when it was met.
    loss: float
    #: Per cent of the test images after it.
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """How a probe ended."""

    #: Every epoch.
    curve: tuple[EpochResult, ...]
    #: Top-1 of each class after the last epoch, in per cent.
    per_class: dict[str, float] = field(default_factory=dict)
    #: Which test images are right then, as `outcomes_record` has it.
    outcomes: dict[str, Any] = field(default_factory=dict)
    #: Classes of the layer.
    classes: int = 0
    #: Images that could be read.
    train_images: int = 0
    test_images: int = 0
    #: Path of each of the others, and why.
    unreadable: tuple[tuple[str, str], ...] = ()
    #: The last epoch's layer with its backbone, and the folder of the result; None where a signal
    #: came before the end.
    classifier: Path | None = None
    folder: Path | None = None
    #: Processes that trained together.
    ranks: int = 1
    #: What asked it to stop; empty if nothing did.
    signal: str = ""

    @property
    def best(self) -> EpochResult:
        """Give the first epoch with the highest top-1, best_acc1 of the MoCo repository."""
        return max(self.curve, key=lambda result: result.top1)


def unreadable_reasons(folder: LabelledFolder, positions: Iterable[int]) -> list[tuple[str, str]]:
    """Read images again that could not be read, for the reasons, which ranks do not exchange."""
    images = EvalImages(folder.images, folder.names, 1)
    reasons = []
    for position in positions:
        _, reason = images[position]
        words = reason if isinstance(reason, str) else "could not be read when it was its turn"
        reasons.append((str(folder.root / escaped(folder.names[position])), words))
    return reasons


#: Classes named on a terminal, the best and the worst; the record has all.
NAMED = 3


FAST_WORDS = (
    "not a published protocol: features of the center crops were made once, and the learning rate "
    "was chosen on held-out training images"
)


def linear_record(
    encoder: Encoder, protocol: Protocol, result: ProbeResult, *, precision: str, seed: int
) -> dict[str, Any]:
    """Gather what --json prints of a probe by a protocol; accuracies are in per cent."""
    changes = deviations(protocol)
    return {
        **_head("linear", encoder),
        "fast": False,
        "protocol": dataclasses.asdict(protocol),
        "is_protocol": not changes,
        "deviations": changes,
        "precision": precision,
        "seed": seed,
        "ranks": result.ranks,
        "epochs": [dataclasses.asdict(epoch) for epoch in result.curve],
        "best": _accuracy(result.best),
        "last": _accuracy(result.curve[-1]),
        "per_class": result.per_class,
        "outcomes": result.outcomes,
        "classes": result.classes,
        "train_images": result.train_images,
        "test_images": result.test_images,
        "skipped": skipped_images(result.unreadable),
        "backbone_frozen": True,  # or there would be no result
        "classifier": str(result.classifier),
    }


def fast_record(
    encoder: Encoder,
    bank: Features,
    queries: Features,
    config: SweepConfig,
    result: SweepResult,
    ranks: Tensor,
) -> dict[str, Any]:
    """Gather what --json prints of a sweep over features made once.

    `bank` and `queries` are of the training and of the test images; `ranks` are those that the best
    layer gives the true classes of the latter.
    """
    accuracy = topk_accuracy(ranks)
    return {
        **_head("linear-fast", encoder),
        "fast": True,
        "protocol": {"name": "fast", **dataclasses.asdict(config)},
        "is_protocol": False,
        "deviations": [FAST_WORDS],
        "precision": bank.source.precision,
        "seed": config.seed,
        "sweep": [dataclasses.asdict(trial) for trial in result.trials],
        "chosen": dataclasses.asdict(result.best),
        "held_out": result.held_out,
        "held_out_noise": result.noise,
        "near_the_best": result.near,
        "last": {"epoch": config.epochs, "top1": accuracy.top1, "top5": accuracy.top5},
        "per_class": per_class(ranks, queries.labels, bank.classes),
        "outcomes": last_outcomes(queries.digest, queries.paths, ranks),
        "classes": len(bank.classes),
        "train_images": len(bank.labels),
        "test_images": len(queries.labels),
        "inputs": {"train": listing(bank), "test": listing(queries)},
        "skipped": skipped_images([*bank.skipped, *queries.skipped]),
    }


def last_outcomes(digest: str, paths: Iterable[str], ranks: Tensor) -> dict[str, Any]:
    """Gather which test images the last layer is right about, by the ranks of their classes."""
    return outcomes_record(digest, paths, {"last": (ranks < 1).numpy()})


def _head(task: str, encoder: Encoder) -> dict[str, Any]:
    """Begin a record, with what else a linear layer depends on."""
    network = {"arch": encoder.model.arch, "space": encoder.space}
    return record_head(task, [encoder]) | network


def _accuracy(result: EpochResult) -> dict[str, Any]:
    """Take of an epoch what is compared."""
    return {"epoch": result.epoch, "top1": result.top1, "top5": result.top5}


def linear_table(record: Mapping[str, Any]) -> list[str]:
    """Write for people what a record of `linear_record` or `fast_record` says."""
    return _fast_lines(record) if record["fast"] else _protocol_lines(record)


def _protocol_lines(record: Mapping[str, Any]) -> list[str]:
    """Write the best and the last epoch of a probe by a protocol."""
    changes = "; ".join(record["deviations"])
    return [
        f"linear probe, protocol {record['protocol']['name']}"
        + ("" if record["is_protocol"] else f", with deviations: {changes}"),
        *(
            f"{which} epoch, {record[which]['epoch']:>3}: top-1 {record[which]['top1']:.2f} %, "
            f"top-5 {record[which]['top5']:.2f} %"
            for which in ("best", "last")
        ),
        *_common_lines(record),
        *_loss_warning(record),
        "backbone unchanged (verified)",
    ]


def _loss_warning(record: Mapping[str, Any]) -> list[str]:
    """Warn where guessing would have had a smaller loss: the rate is of other features."""
    loss, guessing = record["epochs"][-1]["loss"], math.log(record["classes"])
    if loss <= guessing:
        return []
    return [
        f"the last epoch's loss, {loss:.4g}, is above that of guessing, {guessing:.4g}: the "
        "learning rate may be too high for these features; --fast tries many"
    ]


def _fast_lines(record: Mapping[str, Any]) -> list[str]:
    """Write the table of a sweep, and its choice."""
    chosen, last, trials = record["chosen"], record["last"], record["sweep"]
    rates = sorted({trial["lr"] for trial in trials})
    decays = sorted({trial["weight_decay"] for trial in trials})
    cells = {(trial["lr"], trial["weight_decay"]): trial["top1"] for trial in trials}
    lines = [
        f"top-1 on {record['held_out']} held-out training images, by learning rate and decay:",
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
        f"chosen: lr {chosen['lr']:g}, weight decay {chosen['weight_decay']:g}, with the smallest "
        f"loss, {chosen['loss']:.4g}, of the {record['near_the_best']} within "
        f"{record['held_out_noise']:.2g} points of the highest top-1 (the standard error on "
        f"{record['held_out']} images)",
        f"on the test images: top-1 {last['top1']:.2f} %, top-5 {last['top5']:.2f} %",
        *_common_lines(record),
        FAST_WORDS,
    ]


def _common_lines(record: Mapping[str, Any]) -> list[str]:
    """Say what stands behind the numbers, what chance gives, and which classes stand out."""
    classes = record["classes"]
    return [
        f"chance: {100 / classes:.2f} %, {100 * min(5, classes) / classes:.2f} %; "
        f"{record['train_images']} training and {record['test_images']} test images, "
        f"{classes} classes, {len(record['skipped'])} skipped",
        *_extremes(record["per_class"]),
    ]


def _extremes(per_class: Mapping[str, float]) -> list[str]:
    """Name the best and the worst classes, where there are more than both."""
    ranked = sorted(per_class.items(), key=lambda pair: -pair[1])
    if len(ranked) <= 2 * NAMED:
        return [f"by class: {_classes(ranked)}"]
    return [f"best classes: {_classes(ranked[:NAMED])}; worst: {_classes(ranked[-NAMED:])}"]


def _classes(pairs: Iterable[tuple[str, float]]) -> str:
    """Write classes and their top-1."""
    return ", ".join(f"{name} {top1:.1f} %" for name, top1 in pairs)
