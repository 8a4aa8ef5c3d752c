"""Commands that make a store: masks."""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    NAMED,
    jobs_option,
    json_option,
    say,
    settings_of,
    user_errors,
)
from dilo.pipeline.cli.stores import finish

if TYPE_CHECKING:
    from dilo.pipeline.jobs import Task


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
@jobs_option
@click.option(
    "--backend",
    default="loky",
    show_default=True,
    type=click.Choice(["loky", "threading", "dask", "ray"]),
    help="Who computes.",
)
@click.option("--scheduler", help="Address of the Dask scheduler or the Ray cluster.")
@click.option(
    "--num-tasks",
    type=click.IntRange(min=1),
    help="This is one of so many tasks of a batch array, and does its share.",
)
@click.option(
    "--task-id",
    type=click.IntRange(min=0),
    show_default="from the batch system",
    help="Which of them, from 0.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many images.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing: time a few of the images, and say what all of them would take.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if an image failed.")
@json_option
@user_errors
def masks(
    images: Path,
    out: Path,
    method: str,
    refine: str | None,
    settings: dict[str, Any],
    size: int,
    shard_size: int | None,
    jobs: int,
    backend: str,
    scheduler: str | None,
    num_tasks: int | None,
    task_id: int | None,
    limit: int | None,
    dry_run: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Compute a saliency mask for every image below a folder.

    Stop it as you like: finished shards stay, and the same command goes on. An image
    that cannot be read becomes a row with the reason, and the run goes on.
    """
    from dilo.pipeline import masks as work
    from dilo.pipeline.jobs import find_task, run
    from dilo.pipeline.progress import Progress
    from dilo.pipeline.saliency import METHODS, MaskRecipe
    from dilo.pipeline.status import missing_shards
    from dilo.pipeline.workers import compile_ahead

    task = find_task(num_tasks, task_id)
    if method not in METHODS:
        raise click.BadParameter(
            f"must be one of {', '.join(METHODS)}, got {method!r}", param_hint="--method"
        )
    try:
        recipe = MaskRecipe.named(method, refine, settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--set") from error
    asked: dict[str, Any] = {
        "recipe": recipe,
        "size": size,
        "shard_size": shard_size,
        "limit": limit,
        "trust_plan": task is not None,
    }
    if dry_run:
        cluster = backend in ("dask", "ray")
        _foretell(images, out, asked, jobs, cluster=cluster, task=task, as_json=as_json)
        return
    plan = work.prepare(images, out, **asked)
    shards = missing_shards(out, plan)
    if task is not None:
        shards = task.share(shards)
    total = sum(len(plan.rows(shard)) for shard in shards)
    say(f"{plan.images} images in {plan.shards} shards; to do: {total} images in {len(shards)}")
    if shards:
        compile_ahead(recipe, say)
    failed = 0
    build = functools.partial(work.build_shard, images, out)
    with Progress(total, "images", say) as progress:
        for outcome in run(build, shards, jobs=jobs, backend=backend, scheduler=scheduler):
            failed += len(outcome.failed)
            progress.advance(outcome.images, f"{failed} failed")
    finish(out, say_missing=task is None, strict=strict, as_json=as_json)


def _foretell(
    images: Path,
    out: Path,
    asked: dict[str, Any],
    jobs: int,
    *,
    cluster: bool,
    task: "Task | None",
    as_json: bool,
) -> None:
    """Say what a store would take, and write none of it."""
    from dilo.pipeline.estimate import estimate, planned
    from dilo.pipeline.status import missing_shards
    from dilo.pipeline.workers import compile_ahead

    plan, names = planned(images, out, **asked)
    if missing_shards(out, plan):
        compile_ahead(asked["recipe"], say)
    found = estimate(
        images, out, plan, names, asked["recipe"], jobs=jobs, cluster=cluster, task=task
    )
    for line in found.lines(named=NAMED):
        say(line)
    if as_json:
        click.echo(json.dumps(found.record()))
