"""The command that makes a store of backgrounds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.pipeline.cli.options import EXISTING, FOLDER, AliasedOption, out_option, user_errors
from dilo.pipeline.cli.run import (
    RunOptions,
    make_store,
    plan_run,
    shard_size_option,
    sharding_options,
)
from dilo.pipeline.cli.selection import selection_options

if TYPE_CHECKING:
    from dilo.pipeline.backgrounds.recipe import Kind
    from dilo.pipeline.images.selection import ImageSelection

#: The options of each kind, and their defaults.
_KIND_OPTIONS: dict[str, dict[str, Any]] = {
    "crops": {"masks": None, "response": 10, "min_side": 64, "max_aspect": 2.0, "crops": 1},
    "textures": {"crops": 4},
    "images": {},
}
#: Options whose names are not those of their parameters in plan.json.
_OPTIONS = {"response": "--max-saliency"}


@click.command()
@click.option(
    "--kind",
    type=click.Choice(list(_KIND_OPTIONS)),
    default="crops",
    show_default=True,
    help="crops: windows of the images without a salient pixel, by --masks; textures: windows of "
    "texture images; images: whole images, whatever they show.",
)
@selection_options
@click.option("--masks", type=EXISTING, help="For crops: store of masks of these images.")
@out_option(type=FOLDER, required=True, help="Store to write, or to resume.")
@click.option(
    "--max-saliency",
    "response",
    cls=AliasedOption,
    aliases=["--response"],
    type=click.IntRange(0, 255),
    show_default="10",
    help="For crops: largest saliency that a pixel of a window may have.",
)
@click.option(
    "--min-side",
    type=click.IntRange(min=1),
    show_default="64",
    help="For crops: shortest side of a window allowed, in pixels of the image.",
)
@click.option(
    "--max-aspect",
    type=click.FloatRange(min=1),
    show_default="2",
    help="For crops: largest ratio of a window's longer side to its shorter side.",
)
@click.option(
    "--crops",
    type=click.IntRange(1, 1000),
    show_default="1 for crops, 4 for textures",
    help="Largest number of windows from one image; crops do not overlap.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    show_default="all",
    help="Number of backgrounds in total, spread evenly over the images.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Seed for the choice of images and for the windows of textures.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    default=224,
    show_default=True,
    help="Shorter side of a background, in pixels; smaller ones are not enlarged. For textures: "
    "side of a window.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="JPEG quality.",
)
@shard_size_option
@sharding_options
@user_errors
def backgrounds(
    kind: "Kind",
    images: "ImageSelection",
    masks: Path | None,
    out: Path,
    count: int | None,
    seed: int,
    size: int,
    quality: int,
    shard_size: int | None,
    options: RunOptions,
    **kind_options: float | None,
) -> None:
    """Make a store of backgrounds, on which training pastes foregrounds.

    It can be interrupted at any time; the same command resumes. An image without a suitable
    window is not a failure; the number of such images is printed at the end.
    """
    from dilo.pipeline.backgrounds.cropping import BackgroundSource
    from dilo.pipeline.backgrounds.plan import (
        open_complete_masks,
        precompile,
        require_masks,
        with_masks,
    )
    from dilo.pipeline.backgrounds.recipe import BackgroundRecipe

    parameters = _own_options(kind, {"masks": masks, **kind_options})
    store = open_complete_masks(masks) if masks is not None else None
    if store is not None:
        images, parameters["masks"] = with_masks(images, store), store.fingerprint
    recipe = BackgroundRecipe(kind=kind, count=count, seed=seed, quality=quality, **parameters)
    plan, names = plan_run(images, out, recipe.spec(size), shard_size, options)
    if store is not None:
        require_masks(names, store)
    make_store(
        BackgroundSource(masks.absolute() if masks is not None else None),
        images,
        out,
        plan,
        names,
        options,
        before_start=lambda: precompile(store) if store else None,
    )


def _own_options(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """Complete the options that not every kind has, and refuse those of other kinds."""
    defaults = _KIND_OPTIONS[kind]
    for name, value in values.items():
        if value is not None and name not in defaults:
            others = [other for other, options in _KIND_OPTIONS.items() if name in options]
            option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
            raise click.UsageError(f"{option} belongs to --kind {' or '.join(others)}, got {kind}")
    parameters = defaults | {name: value for name, value in values.items() if value is not None}
    if kind == "crops" and parameters["masks"] is None:
        raise click.UsageError("--kind crops needs --masks STORE")
    return parameters
