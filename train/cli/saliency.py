"""`dilo-train saliency`: a network that finds what stands out, trained on masks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    json_option,
    option_group,
    out_option,
    say,
    user_errors,
)
from dilo.pipeline.cli.selection import IMAGES, IMAGES_HELP, make_selection, narrowing_options
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
    required,
    set_option,
    tensorboard_option,
)
from dilo.train.cli.train import report, run_options, show_recipe
from dilo.train.runtime.launch import is_first, quiet

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.pipeline.images.selection import ImageSelection
    from dilo.train.saliency.pairs import ImageMaskPairs


@dataclass(frozen=True, kw_only=True)
class SaliencyDataOptions:
    """What to train on what, and where to leave it."""

    images: Path | None
    list_file: Path | None
    include: tuple[str, ...]
    limit: int | None
    truths: tuple[Path, ...]
    backgrounds: tuple[Path, ...]
    out: Path | None
    name: str
    encoder: Path | None
    overrides: tuple[str, ...]
    test_images: Path | None
    test_truth: Path | None
    test_every: int

    def selection(self) -> "ImageSelection":
        """Return which images are trained on; refuse --images left out."""
        images = required(self.images, "--images")
        return make_selection(images, self.list_file, self.include, self.limit)


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
            "--images",
            type=IMAGES,
            help=f"{IMAGES_HELP} Needed to train.",
        ),
        **narrowing_options(labels=False),
        "truths": click.option(
            "--truth",
            "truths",
            type=EXISTING,
            multiple=True,
            help="Their masks: a folder of grayscale PNGs named like the images, or a store by "
            "dilo-prep; of stores given again, the mean is learnt. Needed to train.",
        ),
        "backgrounds": backgrounds_option,
        "out": out_option(
            type=FOLDER, help="Folder of the run: written, or resumed. Needed to train."
        ),
        "name": recipe_option(_listing, _names, default="basnet", show_default=True),
        "encoder": click.option(
            "--encoder",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Initial weights of BASNet's encoder: torchvision's ResNet-34; else random.",
        ),
        "overrides": set_option,
        "test_images": click.option(
            "--test-images", type=IMAGES, help="Test images, never trained on."
        ),
        "test_truth": click.option(
            "--test-truth", type=EXISTING, help="Masks by people: PNGs named like the test images."
        ),
        "test_every": click.option(
            "--test-every",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="K",
            help="Score the test images before training and after every K-th epoch.",
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
    """Train a network for salient object detection, on masks by people or by dilo-prep.

    With masks by people: BASNet, --recipe basnet. Without: --recipe label-free, on a store that
    dilo-prep made from the same images. Then dilo-prep masks --method basnet (or unet) --weights
    RUN makes masks with the network.

    Training can be interrupted at any time: the same command resumes from the newest checkpoint,
    with the same steps as without the interruption. RUN/checkpoints holds the newest two
    checkpoints and the untrained network; RUN/network.pth, at the end, only the weights;
    RUN/metrics.jsonl the losses; RUN/recipe.toml every setting; RUN/run.json the machine and
    versions.

    \b
    Exit status:
      0   done, or --max-minutes reached
      2   wrong command line
      3   failed; the message says why and what to do
      70  a bug in dilo; the message says what to report
      75  interrupted by a signal; a checkpoint is written: the same command resumes
    """
    from dilo.train.recipes import recipe_of
    from dilo.train.recipes.saliency_recipe import SALIENCY

    if print_recipe:
        recipe = recipe_of(SALIENCY, options.name, options.overrides)
        show_recipe(recipe, options.name, options.overrides, as_json=as_json)
        return
    images, truths = options.selection(), required(options.truths or None, "--truth")
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
    pairs = find_pairs(images, truths[0], recipe.data.min_coverage, others=truths[1:])
    log(_usable_summary(pairs))
    for line in pairs.skipped:
        log(line)
    test = _test_pairs(options, log)
    data = Data(
        pairs=pairs,
        backgrounds=stores,
        encoder=options.encoder,
        test=test,
        test_every=options.test_every,
    )
    result = train_saliency(recipe, data, out, machine, log)
    click.get_current_context().exit(report(result, log, as_json=as_json))


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
        raise click.UsageError("--test-images and --test-truth must be given together.")
    test = find_pairs(data.test_images, data.test_truth, option="--test-truth")
    log(f"{counted(len(test.source.indices), 'test image')}")
    for line in test.skipped:
        log(f"--test-images: {line}")
    return test
