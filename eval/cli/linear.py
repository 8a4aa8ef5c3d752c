"""`dilo-eval linear`: the linear probe, by a protocol or, with --fast, in minutes."""

import os
from pathlib import Path

import click

from dilo.eval.cli.options import (
    IMAGES_OR_FEATURES,
    Narrowing,
    checkpoints_option,
    machine_options,
    name_option,
    positive,
    print_evaluation,
    require_two_folders,
    two_narrowing_options,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.naming import Named
from dilo.pipeline.cli.options import FOLDER, json_option, out_option, say, user_errors
from dilo.pipeline.common.extras import require_torch
from dilo.pipeline.common.outputs import PLAIN_NAME
from dilo.train.runtime.launch import is_first, quiet
from dilo.train.runtime.signals import PREEMPTED

#: As `dilo.eval.linear.protocols.PROTOCOLS` has them, without loading what they stand beside.
NAMES = ("paper", "moco", "cmc", "pycontrast", "simclr")


@click.command("linear")
@checkpoints_option(required=True)
@click.option(
    "--train",
    required=True,
    type=IMAGES_OR_FEATURES,
    help="Class folders, or with --fast a file of `dilo-eval features`: to learn from.",
)
@click.option(
    "--test",
    required=True,
    type=IMAGES_OR_FEATURES,
    help="Class folders, or with --fast a file of features: to classify.",
)
@two_narrowing_options
@click.option(
    "--protocol",
    type=click.Choice(NAMES),
    show_default="paper",
    help="The paper's, or that of the MoCo, CMC, PyContrast or SimCLR repository.",
)
@click.option(
    "--fast",
    is_flag=True,
    help="Make features once and try many learning rates in one pass: not the protocol.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    show_default="the protocol's",
    help="Passes over the training images; the decays keep their share of them.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    show_default="the protocol's",
    help="Images of a step, over all ranks; the learning rate grows with it.",
)
@click.option(
    "--lr",
    type=float,
    callback=positive,
    show_default="the protocol's, for its batch",
    help="The learning rate at the beginning, whatever the batch.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the first weights, the order and the crops.",
)
@out_option(
    type=FOLDER,
    show_default="RUN/eval/linear, or linear-fast",
    help="Folder of the result: the record, the classifier, the state to resume from; of several "
    "checkpoints, OUT/NAME.",
)
@machine_options("batch")
@name_option
@json_option
@click.pass_context
@user_errors
def command(
    ctx: click.Context,
    checkpoints: Named,
    train: Path,
    test: Path,
    narrowing: Narrowing,
    protocol: str | None,
    fast: bool,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    seed: int,
    out: Path | None,
    machine: Machine,
    name: str | None,
    as_json: bool,
) -> None:
    """Train a linear layer on the frozen backbone, and report its accuracy.

    Run an interrupted command again to resume it; torchrun -m dilo.eval linear shares the work.
    An image that cannot be read is skipped and reported. Several checkpoints have a layer each,
    one after the other, and are compared by the paired differences of their accuracies.

    \b
    Exit status:
      0   done
      2   the command line is wrong
      3   could not continue; the message says why and what to do
      70  a bug of dilo; the message says what to report
      75  interrupted by a signal; the same command resumes from there
    """
    require_two_folders(train, test)
    _require_folder_names(checkpoints, out)
    _require_fitting_options(train, test, protocol, lr, fast=fast)
    require_torch("dilo-eval")
    from dilo.eval.common.outcomes import compared
    from dilo.eval.linear.evaluation import Request, evaluate_each

    requests = {
        checkpoint_name: Request(
            checkpoint=checkpoint,
            train=narrowing.train(train),
            test=narrowing.test(test),
            machine=machine,
            out=out if out is None or len(checkpoints) == 1 else out / checkpoint_name,
            protocol=protocol,
            fast=fast,
            epochs=epochs,
            batch=batch,
            lr=lr,
            seed=seed,
            name=name,
        )
        for checkpoint_name, checkpoint in checkpoints
    }
    evaluations = evaluate_each(requests, say if is_first() else quiet)
    *_, last = evaluations.values()
    preempted = last.record.get("preempted", False)
    if is_first():
        evaluation = last if preempted else compared(evaluations, "top-1")
        print_evaluation(evaluation, as_json=as_json)
    if preempted:
        ctx.exit(PREEMPTED)


def _require_folder_names(checkpoints: Named, out: Path | None) -> None:
    """Refuse names of several checkpoints that cannot be those of folders in --out."""
    for name, _ in checkpoints:
        if out is not None and len(checkpoints) > 1 and not PLAIN_NAME.fullmatch(name):
            raise click.BadParameter(
                f"names must be letters, digits, '.', '_' and '-', for folders in --out, got "
                f"{name!r}: give NAME=PATH",
                param_hint="--checkpoint",
            )


def _require_fitting_options(
    train: Path, test: Path, protocol: str | None, lr: float | None, *, fast: bool
) -> None:
    """Refuse options that mean nothing together."""
    from dilo.pipeline.images.source import holds_images

    if not fast and not (holds_images(train) and holds_images(test)):
        raise click.UsageError("A file of features is for --fast only: give class folders.")
    if fast and protocol:
        raise click.UsageError("--protocol cannot be given with --fast, which follows none.")
    if fast and lr is not None:
        raise click.UsageError("--lr cannot be given with --fast, which tries many.")
    if fast and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.UsageError("--fast runs in one process: start it without torchrun.")
