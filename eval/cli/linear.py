"""`dilo-eval linear`: the linear probe, by a protocol or, with --fast, in minutes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.extracting import extracted, listed
from dilo.eval.cli.options import (
    EITHER,
    arch_option,
    checkpoint_option,
    device_option,
    positive,
    say_unreadable,
    size_option,
    tell,
    worker_count,
    workers_option,
)
from dilo.pipeline.cli.options import (
    FOLDER,
    PRECISION,
    json_option,
    option_group,
    say,
    user_errors,
)
from dilo.pipeline.common.extras import require_torch
from dilo.pipeline.errors import DiloError
from dilo.train.runtime.launch import is_first, quiet
from dilo.train.runtime.signals import PREEMPTED

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.features.folders import LabelledFolder
    from dilo.eval.models.encoder import Encoder

#: As `dilo.eval.linear.protocols.PROTOCOLS` has them, without loading what they stand beside.
NAMES = ("paper", "moco", "cmc", "pycontrast", "simclr")
#: Images that the trunk sees at once where it makes features alone.
FEATURES_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of the training is as the user says."""

    name: str | None
    fast: bool
    epochs: int | None
    batch: int | None
    lr: float | None
    precision: str
    seed: int


def _lr(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse a rate that is none."""
    return None if value is None else positive(ctx, parameter, value)


_asked = {
    "name": click.option(
        "--protocol",
        "name",
        type=click.Choice(NAMES),
        show_default="paper",
        help="Whose: the paper's, or the MoCo, CMC, PyContrast or SimCLR repository's.",
    ),
    "fast": click.option(
        "--fast",
        is_flag=True,
        help="Make features once and try many learning rates in one pass: not the protocol.",
    ),
    "epochs": click.option(
        "--epochs",
        type=click.IntRange(min=1),
        show_default="the protocol's",
        help="Passes over the training images; the decays keep their share of them.",
    ),
    "batch": click.option(
        "--batch",
        type=click.IntRange(min=1),
        show_default="the protocol's",
        help="Images of a step, over all ranks; the learning rate grows with it.",
    ),
    "lr": click.option(
        "--lr",
        type=float,
        callback=_lr,
        show_default="the protocol's, for its batch",
        help="The learning rate at the beginning, whatever the batch.",
    ),
    "precision": click.option(
        "--precision",
        type=PRECISION,
        default="fp32",
        show_default=True,
        help="Of the trunk while training; the layer and the test are in fp32.",
    ),
    "seed": click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**63 - 1),
        default=0,
        show_default=True,
        help="Of the weights at the beginning, the order and the crops.",
    ),
}


@click.command("linear")
@checkpoint_option
@click.option(
    "--train",
    required=True,
    type=EITHER,
    help="Class folders, or with --fast a file of `dilo-eval features`: to learn from.",
)
@click.option(
    "--test",
    required=True,
    type=EITHER,
    help="Class folders, or with --fast a file of features: to be told apart.",
)
@option_group("asked", Asked, _asked)
@click.option(
    "--out",
    type=FOLDER,
    show_default="RUN/eval/linear, or linear-fast",
    help="Folder of the result: the record, the classifier, the state to go on from.",
)
@workers_option
@device_option
@size_option
@arch_option
@json_option
@click.pass_context
@user_errors
def command(
    ctx: click.Context,
    checkpoint: Path,
    train: Path,
    test: Path,
    asked: Asked,
    out: Path | None,
    workers: int | None,
    device: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
) -> None:
    """Train a linear layer on the frozen trunk, and tell how often it is right.

    The same command goes on where it stopped; torchrun -m dilo.eval linear shares the work.
    An image that cannot be read is left out and reported.

    \b
    Exit status:
      0   done
      2   the command line is wrong
      3   could not go on; the message says why and what to do
      70  a bug of dilo; the message says what to report
      75  stopped by a signal, with all that was learnt: the same command goes on
    """
    _require_fitting(train, test, asked)
    require_torch("dilo-eval")
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.eval.features.folders import labelled_folder
    from dilo.eval.models.encoder import load_encoder
    from dilo.train.runtime.devices import choose_device

    task = "linear-fast" if asked.fast else "linear"
    folder = result_folder(task, out, checkpoint)
    require_ours(out, task)
    place = choose_device(device)
    encoder = load_encoder(checkpoint, arch=arch, size=size)
    if asked.fast:
        _fast(
            encoder,
            train,
            test,
            asked,
            folder,
            place,
            workers,
            of_run=out is None,
            as_json=as_json,
        )
        return
    learn = labelled_folder(train, say=say)
    tested = labelled_folder(test, classes=learn.classes)
    done = _by_protocol(
        encoder, learn, tested, asked, folder, place, workers, of_run=out is None, as_json=as_json
    )
    if not done:
        ctx.exit(PREEMPTED)


def _require_fitting(train: Path, test: Path, asked: Asked) -> None:
    """Refuse folders that share images, and options that mean nothing together."""
    first, second = train.resolve(), test.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise click.BadParameter(
            f"must be another folder than --train, neither inside of the other, got {test}: what "
            "was learnt by heart tells nothing",
            param_hint="--test",
        )
    if not asked.fast and (first.is_file() or second.is_file()):
        raise click.UsageError("A file of features serves --fast alone: else give class folders.")
    if asked.fast and asked.name:
        raise click.UsageError("--protocol goes without --fast, which follows none.")
    if asked.fast and asked.lr is not None:
        raise click.UsageError("--lr goes without --fast, which tries many.")
    if asked.fast and asked.precision != "fp32":
        raise click.UsageError("--precision goes without --fast, whose features are in fp32.")
    if asked.fast and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.UsageError("--fast runs in one process: start it without torchrun.")


def _by_protocol(
    encoder: "Encoder",
    train: "LabelledFolder",
    test: "LabelledFolder",
    asked: Asked,
    folder: Path,
    device: "torch.device",
    workers: int | None,
    *,
    of_run: bool,
    as_json: bool,
) -> bool:
    """Train by a protocol; tell whether it came to its end."""
    from dilo.eval.common.inputs import listing
    from dilo.eval.common.results import provenance, write_result
    from dilo.eval.linear.protocols import PROTOCOLS, altered, departures, protocol_words
    from dilo.eval.linear.results import linear_lines, linear_record
    from dilo.eval.linear.training import probe
    from dilo.train.runtime.devices import choose_precision
    from dilo.train.runtime.options import RunOptions

    started, first = time.monotonic(), is_first()
    words: Callable[[str], None] = say if first else quiet
    protocol = altered(
        PROTOCOLS[asked.name or "paper"], epochs=asked.epochs, batch=asked.batch, lr=asked.lr
    )
    words(protocol_words(protocol))
    if changes := departures(protocol):
        words(f"not the protocol: {'; '.join(changes)}")
    machine = RunOptions(
        device=device,
        workers=worker_count(workers),
        precision=choose_precision(asked.precision, device),
    )
    outcome = probe(
        encoder, train, test, protocol, folder, machine, words, seed=asked.seed, aside=of_run
    )
    if outcome.signal:
        words(f"stopped by {outcome.signal}; the same command goes on")
        stopped = {"task": "linear", "preempted": True, "signal": outcome.signal}
        tell(stopped, as_json=as_json and first)
        return False
    if first:
        record = linear_record(
            encoder, protocol, outcome, precision=machine.precision, seed=asked.seed
        ) | provenance(started)
        record["inputs"] = {"train": listing(train), "test": listing(test)}
        say_unreadable(outcome.unreadable)
        for line in linear_lines(record):
            say(line)
        path = write_result(outcome.folder or folder, record)
        say(f"{path}, with {outcome.classifier} of the last epoch")
        tell(record, as_json=as_json)
    return True


def _fast(
    encoder: "Encoder",
    train: Path,
    test: Path,
    asked: Asked,
    folder: Path,
    device: "torch.device",
    workers: int | None,
    *,
    of_run: bool,
    as_json: bool,
) -> None:
    """Make features once, and try many learning rates on them."""
    from dilo.eval.common.results import provenance, settled_folder, write_result
    from dilo.eval.linear.fast import fast_probe
    from dilo.eval.linear.results import fast_lines
    from dilo.eval.linear.sweep import Sweep
    from dilo.pipeline.common.progress import Progress

    started = time.monotonic()
    known = listed(train)
    tested = listed(test, known.classes)
    if len(known.classes) < 2:
        raise DiloError(
            f"{train} must hold at least 2 classes, got {len(known.classes)}: there is nothing to "
            "tell apart"
        )
    settings = Sweep(
        epochs=asked.epochs or Sweep.epochs, batch=asked.batch or Sweep.batch, seed=asked.seed
    )
    bank = extracted(encoder, known, FEATURES_BATCH, workers, device)
    queries = extracted(encoder, tested, FEATURES_BATCH, workers, device)
    say(f"{len(settings.settings)} layers in one pass, {settings.epochs} epochs")
    with Progress(len(bank.labels) * settings.epochs, "rows", say) as bar:
        record = fast_probe(
            encoder,
            bank,
            queries,
            settings,
            lambda record: settled_folder(folder, record, say, of_run=of_run),
            device,
            bar.advance,
        )
    record |= provenance(started)
    for line in fast_lines(record):
        say(line)
    path = write_result(Path(record["classifier"]).parent, record)
    say(f"{path}, with {record['classifier']}")
    tell(record, as_json=as_json)
