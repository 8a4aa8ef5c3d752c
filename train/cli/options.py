"""The options of a training, in groups, each as one argument."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.shell_completion import CompletionItem

from dilo.pipeline.cli.options import (
    DEVICE,
    EXISTING,
    FOLDER,
    PRECISION,
    option_group,
    out_option,
    print_result,
)
from dilo.pipeline.cli.outputs import PNG_FILE
from dilo.pipeline.cli.selection import IMAGES, IMAGES_HELP, make_selection, narrowing_options
from dilo.pipeline.compute.workercount import DEFAULT_WORKERS_HELP

if TYPE_CHECKING:
    from dilo.pipeline.images.selection import ImageSelection

Value = TypeVar("Value")

PICTURE = PNG_FILE
#: Stands for a --recipe without a name.
LIST = "?"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What to train, on what, and where to leave it."""

    images: Path | None
    list_file: Path | None
    include: tuple[str, ...]
    limit: int | None
    labels: tuple[Path, ...]
    name: str | None
    masks: Path | None
    backgrounds: tuple[Path, ...]
    out: Path | None
    overrides: tuple[str, ...]

    def selection(self) -> "ImageSelection":
        """Return which images are trained on; refuse --images left out."""
        images = required(self.images, "--images")
        return make_selection(images, self.list_file, self.include, self.limit, self.labels)


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How to use the machine."""

    device: str
    precision: str
    deterministic: bool
    compile: bool
    parts: int
    workers: int | None


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """When to begin and to stop, and what to keep."""

    resume: Literal["auto", "must", "never"]
    checkpoint_minutes: float
    keep_every: int
    max_minutes: float | None


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What to record while it trains."""

    log_every: int
    tensorboard: bool
    knn_every: int
    knn_test: Path | None


@dataclass(frozen=True, kw_only=True)
class Action:
    """What to do instead of training."""

    preview: Path | None
    pastes: Path | None
    bench: bool
    print_recipe: bool


def required(value: Value | None, option: str) -> Value:
    """Refuse an option left out, in click's words, which `plot` and --print must not meet."""
    if value is None:
        raise click.UsageError(f"Missing option '{option}'.")
    return value


def recipe_option(
    listing: Callable[[], str], names: Callable[[], list[str]], **more: Any
) -> Callable[[Any], Any]:
    """Make --recipe, which without a name prints those there are, and ends."""

    def list_recipes(
        ctx: click.Context, parameter: click.Parameter, name: str | None
    ) -> str | None:
        if name == LIST and ctx.resilient_parsing:  # a shell asks what could stand here
            return None
        if name == LIST:
            as_json = ctx.params.get("as_json", False)
            print_result(listing().splitlines(), names(), as_json=as_json)
            ctx.exit()
        return name

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        alike = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return alike or [CompletionItem(incomplete, type="file")]

    return click.option(
        "--recipe",
        "name",
        is_flag=False,
        flag_value=LIST,
        metavar="NAME",
        callback=list_recipes,
        shell_complete=complete,
        help="A recipe of dilo, or FILE.toml; without a name, list the recipes of dilo.",
        **more,
    )


def _listing() -> str:
    """List the recipes of pretraining."""
    from dilo.train.recipes import listing

    return listing()


def _names() -> list[str]:
    """Name the recipes of pretraining."""
    from dilo.train.recipes import shipped_recipes

    return shipped_recipes()


set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, such as optimizer.epochs=20. May be repeated.",
)

print_option = click.option(
    "--print",
    "print_recipe",
    is_flag=True,
    help="Only print the recipe, with every --set: each value and its meaning. Needs no images.",
)

backgrounds_option = click.option(
    "--backgrounds",
    type=EXISTING,
    multiple=True,
    help="Store by dilo-prep backgrounds; one for each kind of background in the recipe.",
)

data_options = option_group(
    "data",
    DataOptions,
    {
        "images": click.option("--images", type=IMAGES, help=IMAGES_HELP),
        **narrowing_options(),
        "name": recipe_option(_listing, _names),
        "masks": click.option(
            "--masks", type=EXISTING, help="Store of their masks, by dilo-prep masks."
        ),
        "backgrounds": backgrounds_option,
        "out": out_option(type=FOLDER, help="Folder of the run: written, or resumed."),
        "overrides": set_option,
    },
)

accumulate_option = click.option(
    "--accumulate",
    "parts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Compute each batch in N parts and add their gradients, if a batch does not fit "
    "in the device's memory.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=0),
    show_default=f"{DEFAULT_WORKERS_HELP} 16",
    help="Number of processes that decode and crop; results do not depend on it.",
)

computing_options = option_group(
    "computing",
    Computing,
    {
        "device": click.option(
            "--device",
            type=DEVICE,
            default="auto",
            show_default=True,
            help="Where to train; auto: on an NVIDIA GPU if there is one, else on the CPU. Of "
            "several, CUDA_VISIBLE_DEVICES selects one.",
        ),
        "precision": click.option(
            "--precision",
            type=PRECISION,
            default="auto",
            show_default=True,
            help="Number format of matrix products; auto: bf16 on a GPU that has it, fp16 on "
            "another, fp32 on a CPU.",
        ),
        "deterministic": click.option(
            "--deterministic",
            is_flag=True,
            help="Use only GPU kernels that give the same bits each time, which are slower: an "
            "interrupted run then ends exactly as an uninterrupted one. A CPU always does.",
        ),
        "compile": click.option(
            "--compile",
            is_flag=True,
            help="Use torch.compile: the first step takes minutes longer, the others are faster.",
        ),
        "parts": accumulate_option,
        "workers": workers_option,
    },
)

keeping_options = option_group(
    "keeping",
    Keeping,
    {
        "resume": click.option(
            "--resume",
            type=click.Choice(["auto", "must", "never"]),
            default="auto",
            show_default=True,
            help="auto: resume from the newest checkpoint in --out, if there is one; must: fail if "
            "there is none; never: fail if there is one.",
        ),
        "checkpoint_minutes": click.option(
            "--checkpoint-minutes",
            type=click.FloatRange(min=0),
            default=15.0,
            show_default=True,
            help="Minutes between checkpoints, at most; there is one after each epoch anyway.",
        ),
        "keep_every": click.option(
            "--keep-every",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            metavar="K",
            help="Also keep the checkpoint of every K-th epoch, besides the newest two; 0: none.",
        ),
        "max_minutes": click.option(
            "--max-minutes",
            type=click.FloatRange(min=0, min_open=True),
            show_default="no limit",
            help="Stop after this many minutes, with a checkpoint; the same command resumes.",
        ),
    },
)

log_every_option = click.option(
    "--log-every",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Write a line to metrics.jsonl every N steps.",
)
tensorboard_option = click.option(
    "--tensorboard",
    is_flag=True,
    help="Also write the metrics for TensorBoard, to RUN/tensorboard.",
)

watching_options = option_group(
    "watching",
    Watching,
    {
        "log_every": log_every_option,
        "tensorboard": tensorboard_option,
        "knn_every": click.option(
            "--knn-every",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            metavar="K",
            help="After every K-th epoch, measure kNN accuracy (k = 20); the training images must "
            "be in class folders. 0: never.",
        ),
        "knn_test": click.option(
            "--knn-test",
            type=IMAGES,
            show_default="a tenth of at most 10,000 training images",
            help="Class folders of test images for --knn-every.",
        ),
    },
)

action_options = option_group(
    "action",
    Action,
    {
        "preview": click.option(
            "--preview",
            type=PICTURE,
            help="Only draw FILE.png: 8 images, their masks, and both views as the network sees "
            "them.",
        ),
        "pastes": click.option(
            "--pastes",
            type=PICTURE,
            help="Only draw FILE.png: 8 images on gray and on each of --backgrounds, with and "
            "without blend.",
        ),
        "bench": click.option(
            "--bench",
            is_flag=True,
            help="Only measure the speed of this recipe on this machine, and its bottleneck.",
        ),
        "print_recipe": print_option,
    },
)
