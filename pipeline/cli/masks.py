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
    print_result,
    say,
    settings_of,
    user_errors,
)
from dilo.pipeline.cli.run import (
    RunOptions,
    make_store,
    plan_run,
    selection_options,
    shard_size_option,
    sharding_options,
    size_option,
)

if TYPE_CHECKING:
    from dilo.pipeline.images.listing import ImageSelection
    from dilo.pipeline.images.names import Names
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
@click.option("--out", type=FOLDER, required=True, help="The store; the same again goes on.")
@click.option(
    "--method",
    shell_complete=_methods,
    default="rbd",
    show_default=True,
    help="Saliency method: rbd, gs, mc, mr, consensus (RBD and MC where they agree); a network, "
    "with its --weights: basnet, unet, cam, gradient; or one that another package registers.",
)
@click.option(
    "--refine",
    type=click.Choice(["grabcut"]),
    help="Fit each mask to the edges of its image: better masks, several times the time.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    callback=settings_of,
    help="Change a parameter of the method (superpixels=200) or of the refinement "
    "(refine.certain=0.4); plan.json lists them. May be given again.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    show_default="224, of a network its own",
    help="Side of a mask, in pixels.",
)
@shard_size_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing: time a few of the images, and say what all of them would take.",
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

    Stop it as you like: finished shards stay, and the same command goes on. An image
    that cannot be read becomes a row with the reason, and the run goes on.
    """
    from dilo.pipeline.masks.computed import MethodSource, mask_spec, precompile

    recipe = network.recipe(method, refine, settings)
    inference, options = network.inference_settings(recipe, options)
    plan, names = plan_run(images, out, mask_spec(recipe, size), shard_size, options)
    if dry_run:
        _dry_run(images.root, out, plan, names, recipe, inference, options)
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
    help="Folder of masks: a/b.png, or a/b.jpg.png, is that of the image a/b.jpg.",
)
@selection_options
@click.option("--out", type=FOLDER, required=True, help="The store; the same again goes on.")
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
    """Make a store of masks that another program made: gray PNGs, one an image.

    A mask has its image's proportions, at any size, or is square; 0 and 255, or what lies
    between, or 0 and 1. Where there are no PNGs, other pictures are masks. An image without a
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
    images: Path,
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
