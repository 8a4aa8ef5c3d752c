"""What the commands of `dilo-eval` share: options, and how a result is told."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dilo.eval.common.machine import Machine
from dilo.eval.common.results import say_skipped
from dilo.pipeline.cli.options import DEVICE, PRECISION, Command, option_group, say
from dilo.pipeline.common.files import write_text
from dilo.pipeline.compute.workercount import DEFAULT_WORKERS_HELP, default_workers

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
        and not re.fullmatch(r"fast|step-\d+", value)
    ):
        return value
    raise click.BadParameter(
        f"must be letters, digits, '.', '_' and '-', and neither fast nor step-N, got {value!r}"
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
batch_option = click.option(
    "--batch", default=256, show_default=True, type=click.IntRange(min=1), help="Images at once."
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
    type=click.Choice(["auto", *PRECISION.choices]),
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
    "batch": batch_option,
    "workers": workers_option,
    "device": device_option,
    "precision": precision_option,
    "size": size_option,
    "arch": arch_option,
}


def machine_options(*without: str) -> Callable[[Command], Command]:
    """Make the options of a network that looks at images, one argument "machine" of the command."""
    options = {name: option for name, option in _MACHINE.items() if name not in without}
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


def worker_count(workers: int | None) -> int:
    """Choose how many processes decode, where the user does not."""
    return default_workers(8) if workers is None else workers


def say_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Name images that could not be read, the first few of many."""
    say_skipped(unreadable, say)


def say_left_out(images: Sequence[tuple[str, str]], why: str, all_in: str) -> None:
    """Name images that are skipped, the first few of many, and what names all."""
    say_skipped(images, say, why, all_in)


def tell(record: Mapping[str, Any], *, as_json: bool, out: Path | None = None) -> None:
    """Write a record to a file, and to standard output, as far as asked for."""
    text = json.dumps(record)
    if out is not None:
        write_text(out, f"{text}\n")
    if as_json:
        click.echo(text)
