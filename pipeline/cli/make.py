"""Commands that make a store: masks."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dilo.pipeline.cli.options import EXISTING, FOLDER, say, settings_of, user_errors
from dilo.pipeline.cli.sharding import Sharding, make_shards, sharding_options
from dilo.pipeline.cli.stores import finish


@click.command()
@click.option("--images", type=EXISTING, required=True, help="Folder of images, at any depth.")
@click.option("--out", type=FOLDER, required=True, help="The store; the same again goes on.")
@click.option(
    "--method",
    default="rbd",
    show_default=True,
    help="Saliency method: rbd, gs, mc, mr, consensus (RBD and MC where they agree), or one that "
    "another package registers.",
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
    default=224,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="Side of a mask, in pixels.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    show_default="from the number of images",
    help="Images a shard.",
)
@click.option(
    "--plan-only",
    is_flag=True,
    help="Read the folder and write the plan, for the tasks of an array; compute nothing.",
)
@click.option(
    "--list",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The images to take, in this order: paths below --images, one a line, as images.txt "
    "has them.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Only images that match: '*.png' is compared with file names, 'n01*/*' with paths below "
    "--images. May be given again.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many of them.")
@sharding_options
@user_errors
def masks(
    images: Path,
    out: Path,
    method: str,
    refine: str | None,
    settings: dict[str, Any],
    size: int,
    shard_size: int | None,
    plan_only: bool,
    listed: Path | None,
    include: tuple[str, ...],
    limit: int | None,
    how: Sharding,
) -> None:
    """Compute a saliency mask for every image below a folder.

    Stop it as you like: finished shards stay, and the same command goes on. An image
    that cannot be read becomes a row with the reason, and the run goes on.
    """
    from dilo.pipeline.build import Builder
    from dilo.pipeline.masks import prepare
    from dilo.pipeline.saliency import METHODS, MaskRecipe
    from dilo.pipeline.workers import compile_ahead

    if method not in METHODS:
        raise click.BadParameter(
            f"must be one of {', '.join(METHODS)}, got {method!r}", param_hint="--method"
        )
    try:
        recipe = MaskRecipe.named(method, refine, settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--set") from error
    plan = prepare(
        images,
        out,
        recipe=recipe,
        size=size,
        shard_size=shard_size,
        listed=listed,
        include=include,
        limit=limit,
        trust_plan=how.task() is not None,
        found=found_so_far(say),
    )
    if plan_only:
        say(f"{plan.images} images in {plan.shards} shards of {plan.shard_size}: planned")
        finish(out, say_missing=False, strict=how.strict, as_json=how.as_json)
    # Workers of a cluster were started in folders of their own.
    make_shards(
        Builder(images.absolute(), out.absolute()),
        plan,
        how,
        ready=lambda: compile_ahead(recipe, say),
    )


def found_so_far(
    say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Make the function that says, in one line every 30 s, how many images were found."""
    from dilo.pipeline.progress import PERIOD

    last = clock()

    def found(count: int) -> None:
        nonlocal last
        if clock() - last >= PERIOD:
            last = clock()
            say(f"{count} images found so far")

    return found
