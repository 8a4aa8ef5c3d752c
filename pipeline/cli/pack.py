"""The command that packs images."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.pipeline.cli.options import FOLDER, out_option, user_errors
from dilo.pipeline.cli.run import (
    RunOptions,
    make_store,
    plan_run,
    shard_size_option,
    sharding_options,
)
from dilo.pipeline.cli.selection import IMAGES_HELP, images_options

if TYPE_CHECKING:
    from dilo.pipeline.images.selection import ImageSelection

#: JPEG quality of images that are reduced.
_QUALITY = 90


@click.command()
@images_options(
    f"{IMAGES_HELP} Also Parquet: a file, a folder, or a split of one (data/train); and a split of "
    "CIFAR-10, CIFAR-100 or STL-10 in binary files (stl10_binary/train)."
)
@out_option(type=FOLDER, required=True, help="Store to write, or to resume.")
@click.option(
    "--short-side",
    type=click.IntRange(16, 4096),
    metavar="PIXELS",
    show_default="as they are",
    help="Reduce images to this shorter side, as JPEGs. Images that are no larger stay as they "
    "are.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    show_default=str(_QUALITY),
    help="With --short-side: JPEG quality.",
)
@shard_size_option
@sharding_options
@user_errors
def pack(
    images: "ImageSelection",
    out: Path,
    short_side: int | None,
    quality: int | None,
    shard_size: int | None,
    options: RunOptions,
) -> None:
    """Copy images into shards, as they are or smaller. --images OUT then reads them.

    Names stay as they are, so masks, labels and lists fit. It can be interrupted at any time;
    the same command resumes. An image that cannot be read becomes a row with the reason.
    """
    from dilo.pipeline.pack.packing import PackableSelection, PackRecipe, PackSource

    if quality is not None and short_side is None:
        raise click.UsageError("--quality belongs to --short-side: as they are, files keep theirs")
    images = PackableSelection(**vars(images))
    source = images.open(out)
    spec = PackRecipe(short_side or 0, quality or _QUALITY).spec(source)
    plan, names = plan_run(images, out, spec, shard_size, options)
    make_store(PackSource(source.absolute()), images, out, plan, names, options)
