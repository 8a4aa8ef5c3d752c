"""The command that makes a store of backgrounds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.pipeline.cli.options import EXISTING, FOLDER, user_errors
from dilo.pipeline.cli.run import (
    RunOptions,
    make_store,
    plan_run,
    selection_options,
    shard_size_option,
    sharding_options,
)

if TYPE_CHECKING:
    from dilo.pipeline.backgrounds.recipe import Kind
    from dilo.pipeline.images.listing import ImageSelection

#: What may be said of each kind, and what is said unless it is.
_KIND_OPTIONS: dict[str, dict[str, Any]] = {
    "crops": {"masks": None, "response": 10, "min_side": 64, "max_aspect": 2.0, "crops": 1},
    "textures": {"crops": 4},
    "images": {},
}


@click.command()
@click.option(
    "--kind",
    type=click.Choice(list(_KIND_OPTIONS)),
    default="crops",
    show_default=True,
    help="Windows of the images that hold nothing salient, by --masks; of textures; or the "
    "whole images, whatever they hold.",
)
@selection_options
@click.option("--masks", type=EXISTING, help="For crops: the store of masks of these images.")
@click.option("--out", type=FOLDER, required=True, help="The store; the same again goes on.")
@click.option(
    "--response",
    type=click.IntRange(0, 255),
    show_default="10",
    help="For crops: the saliency that a window may have anywhere.",
)
@click.option(
    "--min-side",
    type=click.IntRange(min=1),
    show_default="64",
    help="For crops: smallest side of a window, in pixels of the image.",
)
@click.option(
    "--max-aspect",
    type=click.FloatRange(min=1),
    show_default="2",
    help="For crops: how many times as long as its shorter side a window's longer side may be.",
)
@click.option(
    "--crops",
    type=click.IntRange(1, 1000),
    show_default="1 of an image, 4 of a texture",
    help="So many windows of an image at most; crops do not overlap.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    show_default="all there are",
    help="So many backgrounds in all, drawn evenly over the images.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Which images are drawn, and where the windows of textures are.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    default=224,
    show_default=True,
    help="What the shorter side is reduced to, where it is longer; side of a texture's window.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="Of the JPEGs.",
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
    """Make a store of backgrounds, for foregrounds to be put on.

    Stop it as you like: finished shards stay, and the same command goes on. That an image
    has no window is no failure; how many have none is said at the end.
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
            raise click.UsageError(
                f"--{name.replace('_', '-')} belongs to --kind {' or '.join(others)}, got {kind}"
            )
    parameters = defaults | {name: value for name, value in values.items() if value is not None}
    if kind == "crops" and parameters["masks"] is None:
        raise click.UsageError("--kind crops needs --masks STORE")
    return parameters
