"""`dilo-eval detect`: the backbone fine-tuned to find objects, by a published protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dilo.eval.cli.options import checkpoint_option, machine_options, name_option, print_evaluation
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.options import EXISTING, FOLDER, json_option, out_option, say, user_errors
from dilo.pipeline.common.extras import require, require_torch
from dilo.train.runtime.launch import is_first, quiet
from dilo.train.runtime.signals import PREEMPTED

#: As `dilo.eval.detect.protocols.PROTOCOLS` has them, without loading what they stand beside.
VOC = ("voc-24k", "voc-9k", "voc07-9k", "voc-fast")
COCO = ("coco-fpn-1x", "coco-fpn-2x", "coco-fpn-1x-moco", "coco-c4-2x", "coco-fast")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("detect")
@checkpoint_option
@click.option("--voc", type=EXISTING, help="VOCdevkit, with VOC2007 and VOC2012 in it.")
@click.option("--coco", type=EXISTING, help="COCO, with train2017, val2017 and annotations in it.")
@click.option(
    "--protocol",
    type=click.Choice((*VOC, *COCO)),
    show_default="voc-24k, or coco-fpn-1x",
    help="Whose numbers to compare with; voc-fast and coco-fast are for small budgets, and "
    "compare with nobody's.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1, max=100),
    default=1,
    show_default=True,
    help="Trainings, each with the next seed: of several, the mean and the deviation.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**62),
    default=0,
    show_default=True,
    help="Seed of the new layers and of everything random, of the first training.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    show_default="the protocol's, 16",
    help="Images of a step, over all processes. With a smaller one the learning rate is lower, and "
    "there are more iterations.",
)
@click.option(
    "--groups",
    type=click.IntRange(min=1),
    show_default="the protocol's, 8",
    help="Parts of a batch that are padded by themselves, as that many GPUs would do; batch norm "
    "is over all of them.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    show_default="the protocol's",
    help="Steps of the optimiser; the decays keep their share of them.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16),
    show_default="the protocol's, 800",
    help="Short side of a test image, in pixels; those of training change with it.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, such as model.rois=64. May be repeated.",
)
@click.option(
    "--fraction",
    type=click.FloatRange(min=0, min_open=True, max=1),
    help="Learn from this share of the training images, chosen by the seed.",
)
@click.option(
    "--list",
    "list_file",
    type=_FILE,
    help="Learn from the images in this file, one id or name a line.",
)
@click.option(
    "--subset",
    is_flag=True,
    help="Accept folders with a part of the official images; the record says so.",
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Minutes from one checkpoint of a training to the next.",
)
@out_option(
    type=FOLDER,
    show_default="RUN/eval/detect",
    help="Folder of the result: the record, and a folder for each training.",
)
@machine_options("batch", "size")
@name_option
@json_option
@click.pass_context
@user_errors
def command(
    ctx: click.Context,
    checkpoint: Path,
    voc: Path | None,
    coco: Path | None,
    protocol: str | None,
    runs: int,
    seed: int,
    batch: int | None,
    groups: int | None,
    iterations: int | None,
    size: int | None,
    overrides: tuple[str, ...],
    fraction: float | None,
    list_file: Path | None,
    subset: bool,
    checkpoint_minutes: float,
    out: Path | None,
    machine: Machine,
    name: str | None,
    as_json: bool,
) -> None:
    """Fine-tune the backbone to find objects, and report the average precision.

    All of the network is trained, by the protocol of a paper, and scored by its rules. One GPU
    gives the numbers of eight: a batch is taken in as many groups. torchrun -m dilo.eval detect
    shares the work. Run an interrupted command again to resume it.

    \b
    Exit status:
      0   done
      2   the command line is wrong
      3   could not continue; the message says why and what to do
      70  a bug of dilo; the message says what to report
      75  interrupted by a signal; the same command resumes from there
    """
    root, protocol = _images(voc, coco, protocol)
    require_torch("dilo-eval")
    require("dilo-eval detect", ("pycocotools",), "detection")
    from dilo.eval.detect.evaluation import Request, evaluate

    request = Request(
        checkpoint=checkpoint,
        root=root,
        machine=replace(machine, size=size),
        protocol=protocol,
        out=out,
        runs=runs,
        seed=seed,
        batch=batch,
        groups=groups,
        iterations=iterations,
        values=_values(overrides),
        fraction=fraction,
        list_file=list_file,
        subset=subset,
        checkpoint_minutes=checkpoint_minutes,
        name=name,
    )
    evaluation = evaluate(request, say if is_first() else quiet)
    if is_first():
        print_evaluation(evaluation, as_json=as_json)
    if evaluation.record.get("preempted"):
        ctx.exit(PREEMPTED)


def _images(voc: Path | None, coco: Path | None, protocol: str | None) -> tuple[Path, str]:
    """Choose the folder and the protocol, and refuse those that do not go together."""
    if (voc is None) == (coco is None):
        got = "both" if voc else "neither"
        raise click.UsageError(f"Give the images by --voc DIR or by --coco DIR, got {got}.")
    folder = voc or coco or Path()
    option, known = ("--voc", VOC) if voc else ("--coco", COCO)
    protocol = protocol or known[0]
    if protocol not in known:
        raise click.UsageError(
            f"--protocol {protocol} is for the other images than {option}: give one of "
            f"{', '.join(known)}, or the other folder."
        )
    return folder, protocol


def _values(overrides: Sequence[str]) -> dict[str, Any]:
    """Nest the values of --set as the sections of the recipe are."""
    from dilo.train.recipes import override_value

    values: dict[str, Any] = {}
    for override in overrides:
        override_value(values, override)
    return values
