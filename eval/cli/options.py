"""What the commands of `dilo-eval` share: options, and how a result is told."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.options import (
    DEVICE,
    PRECISION,
    Command,
    option_group,
    print_result,
)
from dilo.pipeline.common.files import write_text
from dilo.pipeline.compute.workercount import DEFAULT_WORKERS_HELP, default_workers

if TYPE_CHECKING:
    from dilo.eval.common.results import Evaluation

#: A folder of images, or a file of their features.
IMAGES_OR_FEATURES = click.Path(exists=True, path_type=Path)


def positive(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse zero, negative numbers, infinity and NaN, which a FloatRange lets pass."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"must be positive and finite, got {value}")
    return value


def require_parent(
    ctx: click.Context, parameter: click.Parameter, value: Path | None
) -> Path | None:
    """Refuse a result file without a folder now, not after the work."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"its folder must exist, got {value}: create {value.parent}")
    return value


def _result_name(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no part of a file name, or means something else in that of a folder."""
    if value is None or (
        re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,63}", value, re.ASCII)
        and not re.fullmatch(r"fast|retrieval|step-\d+", value)
    ):
        return value
    raise click.BadParameter(
        f"must be letters, digits, '.', '_' and '-', not fast, retrieval or step-N, got {value!r}"
    )


_CHECKPOINT = "A checkpoint, whoever wrote it, or the folder of a run, for its newest one."
checkpoint_option = click.option(
    "--checkpoint",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help=_CHECKPOINT,
)
optional_checkpoint_option = click.option(
    "--checkpoint",
    type=click.Path(exists=True, path_type=Path),
    help=f"{_CHECKPOINT} Not needed where features come from files.",
)


def _batch_option(default: int) -> Callable[[Command], Command]:
    """Make --batch."""
    return click.option(
        "--batch",
        default=default,
        show_default=True,
        type=click.IntRange(min=1),
        help="Images that the network sees at once.",
    )


workers_option = click.option(
    "--workers",
    type=click.IntRange(min=0),
    callback=lambda ctx, parameter, value: worker_count(value),
    show_default=f"{DEFAULT_WORKERS_HELP} 8",
    help="Processes that decode; 0 decodes in the main one.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    type=DEVICE,
    help="Where the network runs; auto takes CUDA where there is one.",
)
precision_option = click.option(
    "--precision",
    type=PRECISION,
    default="fp32",
    show_default=True,
    help="Of matrix products and convolutions; auto takes bf16 on a GPU that has it. Features "
    "are float32 in any case.",
)
size_option = click.option(
    "--size",
    type=click.IntRange(min=1),
    show_default="as in training, or 224",
    help="Side of the evaluated crops, in pixels.",
)
arch_option = click.option(
    "--arch",
    show_default="what the checkpoint says",
    help="The network, where the file is silent: resnet50, or timm:NAME.",
)
_MACHINE = {
    "workers": workers_option,
    "device": device_option,
    "precision": precision_option,
    "size": size_option,
    "arch": arch_option,
}


def machine_options(*without: str, batch: int = 256) -> Callable[[Command], Command]:
    """Make the options of a network that looks at images, one argument "machine" of the command."""
    options = {"batch": _batch_option(batch), **_MACHINE}
    options = {name: option for name, option in options.items() if name not in without}
    return option_group("machine", Machine, options)


output_option = click.option(
    "--output",
    type=click.Choice(["pooled", "embedding"]),
    show_default="pooled",
    help="What the backbone pools, or what the projection head makes of it.",
)
name_option = click.option(
    "--name",
    callback=_result_name,
    show_default="that of the folder of the images",
    help="What to call the result. A second one of a run, of other images or settings, goes to "
    "RUN/eval/COMMAND-NAME.",
)


count_option = click.option(
    "--count", default=8, show_default=True, type=click.IntRange(min=1), help="Images to show."
)
seed_option = click.option(
    "--seed", default=0, show_default=True, help="Which of them, drawn at random."
)
class_option = click.option(
    "--class",
    "rule",
    type=click.Choice(["true", "predicted"]),
    show_default="true where the classifier knows the class folders",
    help="Whose score is mapped: the image's own class, or the one with the highest score.",
)


def require_outside(out: Path, folders: Iterable[Path | None], option: str = "--out") -> None:
    """Refuse to write among what is read: a later run would take it for more of that."""
    for folder in filter(None, folders):
        if out.resolve().is_relative_to(folder.resolve()):
            raise click.BadParameter(
                f"must be outside the folders that are read, got {out} in {folder}",
                param_hint=option,
            )


def print_evaluation(evaluation: "Evaluation", *, as_json: bool) -> None:
    """Print what an evaluation found: its table, or its record as JSON instead."""
    print_result(evaluation.table, evaluation.record, as_json=as_json)


def worker_count(workers: int | None) -> int:
    """Choose how many processes decode, where the user does not."""
    return default_workers(8) if workers is None else workers


def tell(record: Mapping[str, Any], *, as_json: bool, out: Path | None = None) -> None:
    """Write a record to a file, and to standard output, as far as asked for."""
    text = json.dumps(record)
    if out is not None:
        write_text(out, f"{text}\n")
    if as_json:
        click.echo(text)
