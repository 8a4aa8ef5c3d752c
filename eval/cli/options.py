"""What the commands of `dilo-eval` share: options, names, and the printing of a result."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.naming import Named, named_paths
from dilo.pipeline.cli.options import (
    DEVICE,
    PRECISION,
    AliasedOption,
    Command,
    option_group,
    print_result,
)
from dilo.pipeline.cli.selection import IMAGES, LIST, make_selection, narrowing_options
from dilo.pipeline.common.outputs import PLAIN_NAME
from dilo.pipeline.compute.workercount import DEFAULT_WORKERS_HELP, default_workers

if TYPE_CHECKING:
    from dilo.eval.common.results import Evaluation
    from dilo.pipeline.images.selection import ImageSelection

#: Images, or a file of their features.
IMAGES_OR_FEATURES = IMAGES


def positive(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse zero, negative numbers, infinity and NaN, which a FloatRange lets pass."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"must be positive and finite, got {value}")
    return value


def require_two_folders(train: Path, test: Path) -> None:
    """Refuse training and test images of which some are the same; a file of features has none."""
    from dilo.pipeline.images.source import holds_images

    first, second = train.resolve(), test.resolve()
    is_inside = first in second.parents or second in first.parents
    if first == second or (is_inside and holds_images(train) and holds_images(test)):
        raise click.BadParameter(
            f"must be other images than --train, and neither inside the other, got {test}: "
            "accuracy on training images is no evidence",
            param_hint="--test",
        )


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
        PLAIN_NAME.fullmatch(value) and not re.fullmatch(r"fast|retrieval|step-\d+", value)
    ):
        return value
    raise click.BadParameter(
        f"must be letters, digits, '.', '_' and '-', not fast, retrieval or step-N, got {value!r}"
    )


def _worker_count(ctx: click.Context, parameter: click.Parameter, value: int | None) -> int:
    """Choose how many processes decode, where the user does not."""
    return default_workers(8) if value is None else value


_CHECKPOINT = "A checkpoint of any program, or the folder of a run, for its newest one."


@dataclass(frozen=True)
class Narrowing:
    """Which images of two folders are used: those of one folder decide the classes."""

    list_file: Path | None
    include: tuple[str, ...]
    limit: int | None = None
    labels: tuple[Path, ...] = ()
    test_list: Path | None = None

    def train(self, images: Path) -> "ImageSelection":
        """Return which images of the first folder are used."""
        return make_selection(images, self.list_file, self.include, self.limit, self.labels)

    def test(self, images: Path) -> "ImageSelection":
        """Return which images of the second folder are used."""
        return make_selection(images, self.test_list, self.include, self.limit, self.labels)


#: Those of --train and --test, as one argument "narrowing" of the command.
two_narrowing_options = option_group(
    "narrowing",
    Narrowing,
    {
        **narrowing_options("--train", other="--test"),
        "test_list": click.option(
            "--test-list",
            type=LIST,
            metavar="FILE",
            help="The same for --test. Without it, if --train is narrowed, test images of other "
            "classes are skipped.",
        ),
    },
)


checkpoint_option = click.option(
    "--checkpoint",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help=_CHECKPOINT,
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


def workers_option(words: str) -> Callable[[Command], Command]:
    """Make --workers; `words` say what they do."""
    return click.option(
        "--workers",
        type=click.IntRange(min=0),
        callback=_worker_count,
        show_default=f"{DEFAULT_WORKERS_HELP} 8",
        help=words,
    )


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    type=DEVICE,
    help="Where the network runs; auto takes CUDA if there is a GPU.",
)
precision_option = click.option(
    "--precision",
    type=PRECISION,
    default="fp32",
    show_default=True,
    help="Number format of products and convolutions; auto takes bf16 on a GPU that has it. "
    "Features are always stored as float32.",
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
    help="The network, if the file does not say: resnet50, or timm:NAME.",
)
_MACHINE: dict[str, Callable[[Any], Any]] = {
    "workers": workers_option("Processes that decode; 0 decodes in the main one."),
    "device": device_option,
    "precision": precision_option,
    "size": size_option,
    "arch": arch_option,
}


def machine_options(
    *without: str, batch: int = 256, **others: Callable[[Any], Any]
) -> Callable[[Command], Command]:
    """Make the options of a network that looks at images, one argument "machine" of the command.

    `others` are options, by name, that stand in place of the usual ones.
    """
    options: dict[str, Callable[[Any], Any]] = {"batch": _batch_option(batch), **_MACHINE, **others}
    options = {name: option for name, option in options.items() if name not in without}
    return option_group("machine", Machine, options)


layer_option = click.option(
    "--layer",
    type=click.Choice(["pooled", "embedding"]),
    show_default="pooled",
    help="Features: the pooled output of the backbone, or the embedding by the projection head.",
)
name_option = click.option(
    "--name",
    callback=_result_name,
    metavar="NAME",
    show_default="the folder of the images",
    help="Name of the result: where RUN/eval/COMMAND holds one of other images or settings, this "
    "one goes to RUN/eval/COMMAND-NAME.",
)


count_option = click.option(
    "--count", default=8, show_default=True, type=click.IntRange(min=1), help="Images to show."
)
seed_option = click.option(
    "--seed", default=0, show_default=True, help="Seed of their random choice."
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


def named_folders(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Named:
    """Read [NAME=]DIR; a folder without a name is called by its own."""
    return named_paths(values, "DIR")


def named_runs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Named:
    """Read [NAME=]RUN, of runs and of checkpoints of runs; a run is called by its folder."""
    return named_paths(values, "RUN", exists=Path.exists, default_name=_checkpoint_name)


def _checkpoint_name(path: Path) -> str:
    """Name a run by its folder, and a checkpoint by its run and its file."""
    whole = path.resolve()
    return whole.name if whole.is_dir() else f"{whole.parents[1].name} {whole.stem}"


def named_checkpoints(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> Named:
    """Read [NAME=]PATH, of a file or of the folder of a run; the run's name is the default."""
    return named_paths(values, "PATH", exists=Path.exists, default_name=_run_name)


def _run_name(path: Path) -> str:
    """Name a file or folder by the run that it lies in, or else by itself."""
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if (folder / "checkpoints").is_dir():
            return folder.name
    return whole.name if whole.is_dir() else whole.stem


def checkpoints_option(*, required: bool) -> Callable[[Command], Command]:
    """Make the option of the commands that measure networks one by one: any number, named."""
    return click.option(
        "--checkpoint",
        "checkpoints",
        multiple=True,
        required=required,
        metavar="[NAME=]PATH",
        callback=named_checkpoints,
        help=f"{_CHECKPOINT} Given again, each has its own result, and they are compared image by "
        f"image.{'' if required else ' Not needed if features come from files.'}",
    )


def classifiers_option(*, required: bool) -> Callable[[Command], Command]:
    """Make the option of the commands that look through classifiers: any number, named."""
    return click.option(
        "--checkpoint",
        "classifiers",
        cls=AliasedOption,
        aliases=["--classifier"],
        multiple=True,
        required=required,
        metavar="[NAME=]PATH",
        callback=named_checkpoints,
        help="A network with a classifier: a run that has a result of `dilo-eval linear`, or the "
        "file or folder of that result; a supervised checkpoint; weights of torchvision. Given "
        "again, they are compared.",
    )
