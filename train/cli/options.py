"""The options of a training, in groups, each as one argument."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem

from dilo.pipeline.cli.options import DEVICE, EXISTING, FOLDER, option_group
from dilo.pipeline.cli.outputs import PNG_FILE
from dilo.pipeline.compute.workercount import DEFAULT_WORKERS_HELP

PICTURE = PNG_FILE
#: Stands for a --recipe without a name.
LIST = "?"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What to train, on what, and where to leave it."""

    images: Path | None
    name: str | None
    masks: Path | None
    backgrounds: tuple[Path, ...]
    out: Path | None
    overrides: tuple[str, ...]


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
            click.echo(listing())
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
        help="A shipped recipe, or FILE.toml; without a name, list those shipped.",
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
    help="Change one value of the recipe: optimizer.epochs=20. May be repeated.",
)

print_option = click.option(
    "--print",
    "print_recipe",
    is_flag=True,
    help="Only print the recipe, with all --set: every value, and what it means. Needs no images.",
)

backgrounds_option = click.option(
    "--backgrounds",
    type=EXISTING,
    multiple=True,
    help="Store that dilo-prep backgrounds made; one for each kind that the recipe pastes on.",
)

data_options = option_group(
    "data",
    DataOptions,
    {
        "images": click.option("--images", type=EXISTING, help="Folder of images, at any depth."),
        "name": recipe_option(_listing, _names),
        "masks": click.option(
            "--masks", type=EXISTING, help="Store that dilo-prep masks made of the images."
        ),
        "backgrounds": backgrounds_option,
        "out": click.option(
            "--out", type=FOLDER, help="Folder of the run; the same again goes on."
        ),
        "overrides": set_option,
    },
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
            help="Where to train; auto: a GPU of NVIDIA where there is one, else the CPU. Of "
            "several GPUs, CUDA_VISIBLE_DEVICES says which.",
        ),
        "precision": click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
            default="auto",
            show_default=True,
            help="Of matrix products; auto: bf16 on a GPU that has it, fp16 on another, fp32 on "
            "a CPU.",
        ),
        "deterministic": click.option(
            "--deterministic",
            is_flag=True,
            help="On a GPU, add in the same order each time, which is slower: then an interrupted "
            "run ends in the same bits as one that was not. A CPU always does.",
        ),
        "compile": click.option(
            "--compile",
            is_flag=True,
            help="Let torch.compile make kernels of the network: minutes before the first step, "
            "then faster. Off by default.",
        ),
        "parts": click.option(
            "--accumulate",
            "parts",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="N",
            help="Take each batch in N parts, one after the other, and add their gradients: for "
            "a batch that the device has no room for.",
        ),
        "workers": click.option(
            "--workers",
            type=click.IntRange(min=0),
            show_default=f"{DEFAULT_WORKERS_HELP} 16",
            help="Processes that decode and crop; their number changes no result.",
        ),
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
            help="Go on from the newest checkpoint of --out: if there is one; or stop if there "
            "is none; or stop if there is one.",
        ),
        "checkpoint_minutes": click.option(
            "--checkpoint-minutes",
            type=click.FloatRange(min=0),
            default=15.0,
            show_default=True,
            help="A checkpoint at least this often, besides one each epoch.",
        ),
        "keep_every": click.option(
            "--keep-every",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            metavar="K",
            help="Keep the checkpoint of every K-th epoch, besides the newest two; 0: none.",
        ),
        "max_minutes": click.option(
            "--max-minutes",
            type=click.FloatRange(min=0, min_open=True),
            show_default="no limit",
            help="Stop after so many minutes, with a checkpoint; the same command goes on.",
        ),
    },
)

log_every_option = click.option(
    "--log-every",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="A line of metrics.jsonl every so many steps.",
)
tensorboard_option = click.option(
    "--tensorboard",
    is_flag=True,
    help="Write the metrics for TensorBoard too, to RUN/tensorboard. Off by default.",
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
            help="After every K-th epoch, classify images by the 20 most similar training "
            "images, which must lie in class folders; 0: never.",
        ),
        "knn_test": click.option(
            "--knn-test",
            type=EXISTING,
            show_default="a tenth of at most 10,000 training images",
            help="Class folders of the images that --knn-every classifies.",
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
            help="Only draw FILE.png: of 8 images, the mask and both views as the network would "
            "see them.",
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
            help="Only measure how fast this recipe trains here, and what holds it up.",
        ),
        "print_recipe": print_option,
    },
)
