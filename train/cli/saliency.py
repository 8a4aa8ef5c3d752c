"""`dilo-train saliency`: a network that finds what stands out, trained on masks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.pipeline.cli.options import EXISTING, FOLDER, json_option, option_group, say, user_errors
from dilo.pipeline.common.printing import counted
from dilo.train.cli.mistyped import SaliencyCommand
from dilo.train.cli.options import (
    Computing,
    Keeping,
    Watching,
    backgrounds_option,
    computing_options,
    keeping_options,
    log_every_option,
    print_option,
    recipe_option,
    set_option,
    tensorboard_option,
)
from dilo.train.cli.train import report, required, run_options, show_recipe
from dilo.train.runtime.launch import is_first, quiet

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.train.saliency.pairs import ImageMaskPairs


@dataclass(frozen=True, kw_only=True)
class SaliencyDataOptions:
    """What to train on what, and where to leave it."""

    images: Path | None
    truth: Path | None
    backgrounds: tuple[Path, ...]
    out: Path | None
    name: str
    encoder: Path | None
    overrides: tuple[str, ...]
    test_images: Path | None
    test_truth: Path | None
    test_every: int


def _listing() -> str:
    """List the recipes."""
    from dilo.train.recipes.saliency_recipe import saliency_listing

    return saliency_listing()


def _names() -> list[str]:
    """Name the recipes."""
    from dilo.train.recipes import shipped_recipes
    from dilo.train.recipes.saliency_recipe import SALIENCY

    return shipped_recipes(SALIENCY)


data_options = option_group(
    "options",
    SaliencyDataOptions,
    {
        "images": click.option(
            "--images", type=EXISTING, help="Folder of images, at any depth; needed to train."
        ),
        "truth": click.option(
            "--truth",
            type=EXISTING,
            help="Their masks: a folder of gray PNGs of the images' names, or a store that "
            "dilo-prep made of them; needed to train.",
        ),
        "backgrounds": backgrounds_option,
        "out": click.option(
            "--out",
            type=FOLDER,
            help="Folder of the run; the same again goes on. Needed to train.",
        ),
        "name": recipe_option(_listing, _names, default="basnet", show_default=True, is_eager=True),
        "encoder": click.option(
            "--encoder",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Weights of a ResNet-34, named as torchvision does, for BASNet's encoder to "
            "begin with; else it begins at random.",
        ),
        "overrides": set_option,
        "test_images": click.option(
            "--test-images", type=EXISTING, help="Images to score by; nothing is learnt from them."
        ),
        "test_truth": click.option(
            "--test-truth", type=EXISTING, help="People's masks of them, PNGs of their names."
        ),
        "test_every": click.option(
            "--test-every",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="K",
            help="Score at the beginning and after every K-th epoch.",
        ),
    },
)


@click.command(cls=SaliencyCommand)
@data_options
@computing_options
@keeping_options
@log_every_option
@tensorboard_option
@print_option
@json_option
@user_errors
def saliency(
    options: SaliencyDataOptions,
    computing: Computing,
    keeping: Keeping,
    log_every: int,
    tensorboard: bool,
    print_recipe: bool,
    as_json: bool,
) -> None:
    """Train a network that finds what stands out, on masks of people or of dilo-prep.

    With people's masks: BASNet, by --recipe basnet. Without any: --recipe label-free, on a store
    that dilo-prep made of the same images. Masks by the network are made by dilo-prep masks
    --method basnet (or unet) --weights RUN.

    Stop it as you like: the same command goes on from the last checkpoint, and takes the very
    steps that it would have taken. RUN/checkpoints holds the newest two and the network before
    training; RUN/network.pth, at the end, the weights alone; RUN/metrics.jsonl the losses;
    RUN/recipe.toml every setting; RUN/run.json what it ran on.

    \b
    Exit status:
      0   done, or --max-minutes are over
      2   the command line is wrong
      3   could not go on; the message says why and what to do
      70  a bug of dilo; the message says what to report
      75  preempted: a signal came, a checkpoint was written; the same command goes on
    """
    from dilo.train.recipes import recipe_of
    from dilo.train.recipes.saliency_recipe import SALIENCY

    if print_recipe:
        recipe = recipe_of(SALIENCY, options.name, options.overrides)
        show_recipe(recipe, options.name, options.overrides, as_json=as_json)
        return
    images, truth = required(options.images, "--images"), required(options.truth, "--truth")
    out = required(options.out, "--out")
    from dilo.train.augment.backgrounds import open_backgrounds, require_drawn
    from dilo.train.saliency.pairs import find_pairs
    from dilo.train.saliency.train import Data, train_saliency

    log = say if is_first() else quiet
    recipe = recipe_of(SALIENCY, options.name, options.overrides)
    watching = Watching(log_every=log_every, tensorboard=tensorboard, knn_every=0, knn_test=None)
    machine = run_options(computing, keeping, watching, log)
    stores = open_backgrounds(options.backgrounds)
    require_drawn(stores, recipe.paste, options.name)
    pairs = find_pairs(images, truth, recipe.data.min_coverage)
    log(_usable_summary(pairs))
    for line in pairs.left_out:
        log(line)
    test = _test_pairs(options, log)
    data = Data(
        pairs=pairs,
        backgrounds=stores,
        encoder=options.encoder,
        test=test,
        test_every=options.test_every,
    )
    output, status = report(train_saliency(recipe, data, out, machine, log), log)
    if as_json and is_first():
        click.echo(json.dumps(output))
    click.get_current_context().exit(status)


def _usable_summary(pairs: "ImageMaskPairs") -> str:
    """Describe how many images are used, of how many in the folder."""
    usable, total = len(pairs.source.indices), pairs.source.in_folder
    part = f" of {total}" if total is not None and total > len(pairs.source.names) else ""
    return f"{usable}{part} images with masks"


def _test_pairs(data: SaliencyDataOptions, log: Callable[[str], None]) -> "ImageMaskPairs | None":
    """Find the images to score by, and log how many are used."""
    from dilo.train.saliency.pairs import find_pairs

    if data.test_images is None and data.test_truth is None:
        return None
    if data.test_images is None or data.test_truth is None:
        raise click.UsageError("--test-images goes with --test-truth.")
    test = find_pairs(data.test_images, data.test_truth, option="--test-truth")
    log(f"{counted(len(test.source.indices), 'image')} to score by")
    for line in test.left_out:
        log(f"--test-images: {line}")
    return test
