"""The linear evaluation from a request to a record: by a protocol, or in minutes."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dilo.eval.common.inputs import data_name, listing, same_images_warning
from dilo.eval.common.machine import Machine
from dilo.eval.common.results import (
    Evaluation,
    Say,
    provenance,
    require_ours,
    result_folder,
    say_skipped,
    settled_folder,
    write_result,
)
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.loading import Loader, Sources
from dilo.eval.linear.fast import fast_probe
from dilo.eval.linear.protocols import PROTOCOLS, describe, deviations, with_overrides
from dilo.eval.linear.results import linear_record, linear_table
from dilo.eval.linear.sweep import SweepConfig
from dilo.eval.linear.training import probe
from dilo.eval.models.classifier import CLASSIFIER
from dilo.eval.models.encoder import Encoder, load_encoder
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.selection import ImageSelection
from dilo.train.runtime import distributed
from dilo.train.runtime.launch import is_first
from dilo.train.runtime.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a linear layer is to learn, and how."""

    checkpoint: Path
    #: Class folders, or some of their images; with `fast` also files of features.
    train: Path | ImageSelection
    test: Path | ImageSelection
    machine: Machine
    #: Folder of the result; None for that of the run.
    out: Path | None = None
    #: Whose protocol; None for the paper's.
    protocol: str | None = None
    #: Whether to make features once and try many learning rates on them.
    fast: bool = False
    #: These override the protocol.
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    #: Of the weights at the beginning, the order and the crops.
    seed: int = 0
    #: What the result is called; None for the name of the test images' folder.
    name: str | None = None

    @property
    def task(self) -> str:
        """Name the record."""
        return "linear-fast" if self.fast else "linear"


def evaluate_each(requests: Mapping[str, Request], say: Say) -> dict[str, Evaluation]:
    """Evaluate one after the other, by their names; the last is the one that a signal came in."""
    for request in requests.values():  # now, not after hours of work for another
        _result_place(request)
    first = next(iter(requests.values()))
    sources = Sources(first.train, first.test, say)  # which all have in common
    evaluations = {}
    with contextlib.ExitStack() as stack:
        if len(requests) > 1:  # a group of processes that was left cannot be joined again
            device, _ = first.machine.choose()
            stack.enter_context(distributed.init_process_group(device))
        for name, request in requests.items():
            if len(requests) > 1:
                say(f"{name}: {request.checkpoint}")
            evaluations[name] = evaluate(request, say, sources)
            if evaluations[name].record.get("preempted"):
                break
    return evaluations


def _result_place(request: Request) -> Path:
    """Choose the folder of the result, unless something else lies there."""
    require_ours(request.out, request.task)
    return result_folder(request.task, request.out, request.checkpoint)


def evaluate(request: Request, say: Say, sources: Sources | None = None) -> Evaluation:
    """Train a linear layer on the frozen backbone, and write its classifier and record.

    Under torchrun, every rank calls it; the result of all but the first is empty. Where a signal
    came, the record says "preempted", and the same request resumes. Requests of the same images may
    share `sources`, which lists them once.
    """
    folder = _result_place(request)
    machine = request.machine
    encoder = load_encoder(request.checkpoint, arch=machine.arch, size=machine.size)
    evaluation = _evaluate_fast if request.fast else _evaluate_by_protocol
    sources = sources or Sources(request.train, request.test, say)
    return evaluation(request, encoder, folder, say, sources)


def _evaluate_by_protocol(
    request: Request, encoder: Encoder, folder: Path, say: Say, sources: Sources
) -> Evaluation:
    """Train by a protocol, from the beginning or from where it was interrupted."""
    started = time.monotonic()
    train, test = sources.folders()
    protocol = with_overrides(
        PROTOCOLS[request.protocol or "paper"],
        epochs=request.epochs,
        batch=request.batch,
        lr=request.lr,
    )
    say(describe(protocol))
    if changes := deviations(protocol):
        say(f"not the protocol: {'; '.join(changes)}")
    device, precision = request.machine.choose()
    options = RunOptions(device=device, workers=request.machine.workers, precision=precision)
    inputs = _inputs(train, test) if is_first() else {}
    name = request.name or data_name(inputs)
    result = probe(
        encoder,
        train,
        test,
        protocol,
        folder,
        options,
        say,
        seed=request.seed,
        aside=request.out is None,
        name=name,
    )
    if result.signal:
        say(f"interrupted by {result.signal}; run the same command to resume")
        return Evaluation({"task": "linear", "preempted": True, "signal": result.signal}, [])
    if not is_first():
        return Evaluation({}, [])
    say_skipped(result.unreadable, say)
    record = linear_record(encoder, protocol, result, precision=precision, seed=request.seed)
    record |= {"inputs": inputs, "name": name} | provenance(started)
    return _write(result.folder or folder, record, say)


def _inputs(train: LabelledFolder, test: LabelledFolder) -> dict[str, Any]:
    """Say on which images a probe stands."""
    return {"train": listing(train), "test": listing(test)}


def _evaluate_fast(
    request: Request, encoder: Encoder, folder: Path, say: Say, sources: Sources
) -> Evaluation:
    """Make features once, and try many learning rates on them."""
    started = time.monotonic()
    train, test = sources.train, sources.test
    if len(train.classes) < 2:
        raise DiloError(
            f"{train.root} must hold at least 2 classes, got {len(train.classes)}: there is "
            "nothing to classify"
        )
    config = SweepConfig(seed=request.seed)
    config = replace(
        config, epochs=request.epochs or config.epochs, batch=request.batch or config.batch
    )
    loader = Loader(request.machine, say)
    bank, queries = loader.load(encoder, train), loader.load(encoder, test)
    say(f"{len(config.settings)} layers in one pass, {config.epochs} epochs")
    name = {"name": request.name} if request.name else {}
    device, _ = request.machine.choose()
    with Progress(len(bank.labels) * config.epochs, "rows", say) as bar:
        record = fast_probe(
            encoder,
            bank,
            queries,
            config,
            lambda record: settled_folder(
                folder, {**record, **name}, say, of_run=request.out is None
            ),
            device,
            bar.advance,
        )
    record |= {"name": request.name or data_name(record["inputs"])} | provenance(started)
    return _write(Path(record["classifier"]).parent, record, say)


def _write(folder: Path, record: dict[str, Any], say: Say) -> Evaluation:
    """Write a record beside its classifier, last: it says that the other is there."""
    write_result(folder, record)
    say(f"{folder}: {record['task']}.json, with {CLASSIFIER} of the last epoch")
    return Evaluation(record, linear_table(record) + same_images_warning(record["inputs"]))
