"""Commands that make a store: masks, import."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from dilo.pipeline.cli.networks import NetworkOptions, network_options, require_weights
from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    MAX_LISTED,
    out_option,
    print_result,
    say,
    settings_of,
    user_errors,
)
from dilo.pipeline.cli.run import (
    RunOptions,
    make_store,
    plan_run,
    shard_size_option,
    sharding_options,
    size_option,
)
from dilo.pipeline.cli.selection import selection_options

if TYPE_CHECKING:
    from dilo.pipeline.images.names import Names
    from dilo.pipeline.images.selection import ImageSelection
    from dilo.pipeline.images.source import ImageSource
    from dilo.pipeline.masks.network import InferenceSettings
    from dilo.pipeline.saliency import MaskRecipe
    from dilo.pipeline.store.plan import Plan


def _methods(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Name the methods that begin with some letters, for a shell."""
    from dilo.pipeline.saliency.methods import METHODS

    return [CompletionItem(name) for name in METHODS if name.startswith(incomplete)]


@click.command()
@selection_options
@out_option(type=FOLDER, required=True, help="Store to write, or to resume.")
@click.option(
    "--method",
    shell_complete=_methods,
    default="rbd",
    show_default=True,
    help="Saliency method: rbd, gs, mc, mr, consensus (RBD and MC where they agree); a network, "
    "which needs --weights: basnet, unet, cam, gradient; or one that another package registers.",
)
@click.option(
    "--refine",
    type=click.Choice(["grabcut"]),
    help="Fit each mask to the edges of its image: better masks, several times slower.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    callback=settings_of,
    help="Change a parameter of the method (superpixels=200) or of the refinement "
    "(refine.certain=0.4); plan.json lists them. May be repeated.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    show_default="224, or the network's own size",
    help="Height and width of a mask, in pixels.",
)
@shard_size_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing: time a sample of the images, and estimate time and disk for all.",
)
@network_options
@sharding_options
@user_errors
def masks(
    images: "ImageSelection",
    out: Path,
    method: str,
    refine: str | None,
    settings: dict[str, Any],
    size: int | None,
    shard_size: int | None,
    dry_run: bool,
    network: NetworkOptions,
    options: RunOptions,
) -> None:
    """Compute a saliency mask for every image below a folder.

    It can be interrupted at any time; the same command resumes. An image that cannot be
    read becomes a row with the reason, and the run continues.
    """
    from dilo.pipeline.masks.computed import MethodSource, mask_spec, precompile

    recipe = network.recipe(method, refine, settings, out)
    inference, options = network.inference_settings(recipe, options)
    plan, names = plan_run(images, out, mask_spec(recipe, size), shard_size, options)
    if dry_run:
        _dry_run(images.open(out), out, plan, names, recipe, inference, options)
        return
    require_weights(recipe, inference, out, names, options)
    make_store(
        MethodSource(inference),
        images,
        out,
        plan,
        names,
        options,
        network=inference is not None,
        before_start=lambda: precompile(recipe, say),
    )


@click.command("import")
@click.option(
    "--png",
    type=EXISTING,
    required=True,
    help="Folder of masks: a/b.png, or a/b.jpg.png, is the mask of image a/b.jpg.",
)
@selection_options
@out_option(type=FOLDER, required=True, help="Store to write, or to resume.")
@size_option
@shard_size_option
@sharding_options
@user_errors
def import_masks(
    png: Path,
    images: "ImageSelection",
    out: Path,
    size: int,
    shard_size: int | None,
    options: RunOptions,
) -> None:
    """Make a store from masks by another program: one grayscale PNG for each image.

    A mask has its image's aspect ratio, at any size, or is square. Its values are 0 to 255,
    or 0 and 1. If there are no PNGs, pictures of other formats are used. An image without a
    mask becomes a row with the reason.
    """
    from dilo.pipeline.masks.files import mask_files, remarks
    from dilo.pipeline.masks.imported import ImportSource, count_masks, imported_spec

    pngs = mask_files(png, images.root)
    plan, names = plan_run(images, out, imported_spec(pngs, size), shard_size, options)
    if options.task() is None:
        say(f"{count_masks(names, pngs, png)} of {len(names)} images have a mask in {png}")
        for line in remarks(png, pngs):
            say(line)
    make_store(ImportSource(png.absolute()), images, out, plan, names, options)


def _dry_run(
    images: "ImageSource",
    store: Path,
    plan: "Plan",
    names: "Names",
    recipe: "MaskRecipe",
    inference: "InferenceSettings | None",
    options: RunOptions,
) -> None:
    """Print what a store would take, and write none of it."""
    from dilo.pipeline.masks.computed import open_recipe, precompile
    from dilo.pipeline.masks.estimate import estimate
    from dilo.pipeline.store.status import missing_shards

    if missing_shards(store, plan):
        precompile(recipe, say)
    result = estimate(
        images,
        store,
        plan,
        names,
        open_recipe(recipe, plan.size, names, inference),
        jobs=options.jobs,
        unit="GPU" if inference and inference.device == "cuda" else "core",
        cluster=options.on_cluster,
        task=options.task(),
    )
    lines = result.report_lines(max_failures=MAX_LISTED)
    print_result(lines, result.as_dict(), as_json=options.as_json)
