"""Commands that make a store: masks, import."""

from collections.abc import Callable
from dataclasses import dataclass
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
from dilo.pipeline.cli.selection import LIST, selection_options

if TYPE_CHECKING:
    from dilo.pipeline.compute.shard import RowSource, ShardOpener
    from dilo.pipeline.images.names import Names
    from dilo.pipeline.images.selection import ImageSelection
    from dilo.pipeline.images.source import ImageSource
    from dilo.pipeline.masks.estimate import Unit
    from dilo.pipeline.store.create import StoreSpec
    from dilo.pipeline.store.plan import Plan


def _methods(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Name the methods that begin with some letters, for a shell."""
    from dilo.pipeline.saliency.methods import METHODS

    return [CompletionItem(name) for name in METHODS if name.startswith(incomplete)]


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing: time a sample of the images, and estimate time and disk for all.",
)


@click.command()
@selection_options
@out_option(type=FOLDER, required=True, help="Store to write, or to resume.")
@click.option(
    "--method",
    shell_complete=_methods,
    default="rbd",
    show_default=True,
    help="Saliency method: rbd, gs, mc, mr, consensus (RBD and MC where they agree); a network, "
    "which needs --weights: basnet, unet, cam, gradient, contracam, tokencut (no labels: a "
    "normalised cut of the features of any network); or one that another package registers.",
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
    help="Change a parameter of the method (superpixels=200; of tokencut recipe=published, or "
    "features=layer3) or of the refinement (refine.certain=0.4); plan.json lists them. May be "
    "repeated.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    show_default="224, or the network's own size",
    help="Height and width of a mask, in pixels.",
)
@shard_size_option
@dry_run_option
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
    from dilo.pipeline.masks.computed import MethodSource, mask_spec, open_recipe, precompile

    recipe = network.recipe(method, refine, settings, out)
    inference, options = network.inference_settings(recipe, options)
    plan, names = plan_run(images, out, mask_spec(recipe, size), shard_size, options)
    if dry_run:
        _dry_run(
            images.open(out),
            out,
            plan,
            names,
            open_recipe(recipe, plan.size, names, inference),
            options,
            unit="GPU" if inference and inference.device == "cuda" else "core",
            before_start=lambda: precompile(recipe, say),
        )
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
    help="Folder of masks: a/b.png, or a/b.jpg.png, is the mask of image a/b.jpg.",
)
@click.option(
    "--coco",
    type=LIST,
    metavar="FILE",
    help="Masks in a JSON file of COCO's format, such as CutLER's MaskCut masks of ImageNet: run "
    "lengths or polygons. An image's mask is the union of its annotations; file_name is its path "
    "below --images.",
)
@selection_options
@out_option(type=FOLDER, required=True, help="Store to write, or to resume.")
@size_option
@shard_size_option
@dry_run_option
@sharding_options
@user_errors
def import_masks(
    png: Path | None,
    coco: Path | None,
    images: "ImageSelection",
    out: Path,
    size: int,
    shard_size: int | None,
    dry_run: bool,
    options: RunOptions,
) -> None:
    """Make a store from masks by another program: gray PNGs, or a COCO file.

    A mask has its image's aspect ratio, at any size, or is square. A PNG's values are 0 to 255,
    or 0 and 1; if there are no PNGs, pictures of other formats are used. An image without a
    mask becomes a row with the reason; one that a COCO file lists without annotations has an
    empty mask.
    """
    if coco is not None and png is None:
        imported = _masks_of_coco(coco, out, size)
    elif png is not None and coco is None:
        imported = _masks_of_pngs(png, images, size)
    else:
        raise click.UsageError("give the masks: either --png FOLDER or --coco FILE")
    plan, names = plan_run(images, out, imported.spec, shard_size, options)
    if options.task() is None:
        for line in imported.matched(names):
            say(line)
    if dry_run:
        _dry_run(images.open(out), out, plan, names, imported.opener(names), options)
        return
    make_store(imported.source, images, out, plan, names, options, keep=imported.keep)


@dataclass(frozen=True, kw_only=True)
class _ImportedMasks:
    """Masks that were made elsewhere."""

    spec: "StoreSpec"
    source: "RowSource"
    #: Matches them with the images, and returns lines for people.
    matched: "Callable[[Names], list[str]]"
    #: Opens them without a store.
    opener: "Callable[[Names], ShardOpener]"
    #: Keeps beside the plan what workers need.
    keep: Callable[[Path], None] = lambda store: None


def _masks_of_pngs(png: Path, images: "ImageSelection", size: int) -> _ImportedMasks:
    """Find the masks of a folder."""
    from dilo.pipeline.masks.files import mask_files, remarks
    from dilo.pipeline.masks.imported import ImportSource, count_masks, imported_spec

    pngs = mask_files(png, images.root)
    source = ImportSource(png.absolute())

    def matched(names: "Names") -> list[str]:
        count = count_masks(names, pngs, png)
        return [f"{count} of {len(names)} images have a mask in {png}", *remarks(png, pngs)]

    return _ImportedMasks(
        spec=imported_spec(pngs, size),
        source=source,
        matched=matched,
        opener=lambda names: source.opener(names, size),
    )


def _masks_of_coco(coco: Path, out: Path, size: int) -> _ImportedMasks:
    """Find the masks of a COCO file."""
    from dilo.pipeline.masks.cocoindex import CocoIndex
    from dilo.pipeline.masks.imported import CocoSource, coco_opener, coco_spec, match_coco

    index = CocoIndex.find(coco.absolute(), out)
    return _ImportedMasks(
        spec=coco_spec(index, size),
        source=CocoSource(index.file),
        matched=lambda names: match_coco(names, index),
        opener=lambda names: coco_opener(index, size),
        keep=index.keep,
    )


def _dry_run(
    images: "ImageSource",
    store: Path,
    plan: "Plan",
    names: "Names",
    opener: "ShardOpener",
    options: RunOptions,
    *,
    unit: "Unit" = "core",
    before_start: Callable[[], None] = lambda: None,
) -> None:
    """Print what a store would take, and write none of it.

    `before_start` is called before the sample is timed, if there is anything to do.
    """
    from dilo.pipeline.masks.estimate import estimate
    from dilo.pipeline.store.status import missing_shards

    if missing_shards(store, plan):
        before_start()
    result = estimate(
        images,
        store,
        plan,
        names,
        opener,
        jobs=options.jobs,
        unit=unit,
        cluster=options.on_cluster,
        task=options.task(),
    )
    lines = result.report_lines(max_failures=MAX_LISTED)
    print_result(lines, result.as_dict(), as_json=options.as_json)
