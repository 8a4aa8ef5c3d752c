"""What every command that makes a store shares: which images, who computes, what is said."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dilo.pipeline.cli.options import (
    UserError,
    jobs_option,
    json_option,
    option_group,
    say,
)
from dilo.pipeline.cli.stores import report_and_exit

if TYPE_CHECKING:
    from dilo.pipeline.compute.arrays import ArrayTask
    from dilo.pipeline.compute.shard import RowSource
    from dilo.pipeline.images.names import Names
    from dilo.pipeline.images.selection import ImageSelection
    from dilo.pipeline.store.create import StoreSpec
    from dilo.pipeline.store.plan import Plan


size_option = click.option(
    "--size",
    default=224,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="Height and width of a mask, in pixels.",
)

shard_size_option = click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    show_default="from the number of images",
    help="Images per shard.",
)


def count_reporter(
    say: Callable[[str], None] = say, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Make the function that says, in one line every 30 s, how many images were found."""
    from dilo.pipeline.common.progress import PERIOD

    last = clock()

    def report(count: int) -> None:
        nonlocal last
        if clock() - last >= PERIOD:
            last = clock()
            say(f"{count} images found so far")

    return report


def _num_tasks(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> int | Literal["auto"] | None:
    """Read a number of tasks, or the word that leaves it to the batch system."""
    if value is None:
        return None
    if value == "auto":
        return "auto"
    if not value.isdecimal() or len(value) > 9 or int(value) == 0:
        raise click.BadParameter(f"must be a number from 1 to 999999999, or auto, got {value!r}")
    return int(value)


@dataclass(frozen=True)
class RunOptions:
    """Who makes which shards, as the options say."""

    jobs: int
    backend: str
    scheduler: str | None
    num_tasks: int | Literal["auto"] | None
    task_id: int | None
    plan_only: bool
    strict: bool
    as_json: bool

    @property
    def on_cluster(self) -> bool:
        """Check whether others than this machine compute."""
        return self.backend in ("dask", "ray")

    def task(self) -> "ArrayTask | None":
        """Return which share of the work is this process's; None for all of it."""
        from dilo.pipeline.compute.arrays import current_task

        return current_task(self.num_tasks, self.task_id)


num_tasks_option = click.option(
    "--num-tasks",
    metavar="N|auto",
    callback=_num_tasks,
    help="Compute one task's share of N, in a job array. auto: take N from Slurm, LSF or SGE.",
)
task_id_option = click.option(
    "--task-id",
    type=click.IntRange(min=0),
    show_default="from the batch system",
    help="Number of this task, from 0.",
)

sharding_options = option_group(
    "options",
    RunOptions,
    {
        "jobs": jobs_option,
        "backend": click.option(
            "--backend",
            default="loky",
            show_default=True,
            type=click.Choice(["loky", "threading", "dask", "ray"]),
            help="Where to compute: loky: processes on this machine; threading: threads, which do "
            "not survive an image that crashes them; dask or ray: a cluster.",
        ),
        "scheduler": click.option(
            "--scheduler", help="Address of the Dask scheduler or the Ray cluster."
        ),
        "num_tasks": num_tasks_option,
        "task_id": task_id_option,
        "plan_only": click.option(
            "--plan-only",
            is_flag=True,
            help="List the images and write the plan, but compute nothing: for a job array.",
        ),
        "strict": click.option(
            "--strict", is_flag=True, help="Exit with status 1 if an image failed."
        ),
        "as_json": json_option,
    },
)


def plan_run(
    images: "ImageSelection",
    out: Path,
    spec: "StoreSpec",
    shard_size: int | None,
    options: RunOptions,
) -> tuple["Plan", "Names"]:
    """Plan a store, or check that the one there is what is asked for; nothing is written."""
    from dilo.pipeline.store.create import plan_store

    return plan_store(
        images,
        out,
        spec,
        shard_size=shard_size,
        reuse_list=options.task() is not None,
        on_progress=count_reporter(),
        say=say,
    )


def make_store(
    source: "RowSource",
    images: "ImageSelection",
    out: Path,
    plan: "Plan",
    names: "Names",
    options: RunOptions,
    *,
    network: bool = False,
    keep: Callable[[Path], None] = lambda store: None,
    before_start: Callable[[], None] = lambda: None,
) -> None:
    """Write the plan, make what the store lacks or one task's share of it, and report.

    `keep` keeps beside the plan what workers need; `before_start` is called before they start, if
    there is anything to do. Of a network, JSON says its pace.
    """
    from dilo.pipeline.compute.arrays import array_warning
    from dilo.pipeline.compute.build import Stopped, build_store, images_in_shards
    from dilo.pipeline.compute.shard import ShardBuilder
    from dilo.pipeline.store.create import create_store

    create_store(out, plan, names)
    content = images.open(out)
    content.keep(out)
    keep(out)
    # Workers of a cluster were started in folders of their own.
    out = out.absolute()
    if options.plan_only:
        say(f"planned: {images_in_shards(plan)} of {plan.shard_size}")
        report_and_exit(out, say_missing=False, strict=options.strict, as_json=options.as_json)
    task = options.task()
    if line := task.line() if task else array_warning():
        say(line)
    share = (task.select if task else list)(range(plan.shards))
    try:
        pace = build_store(
            ShardBuilder(content.absolute(), out, source),
            plan,
            share,
            jobs=options.jobs,
            backend=options.backend,
            scheduler=options.scheduler,
            look_back=task is None,
            before_start=before_start,
            say=say,
        )
    except Stopped as stop:
        raise UserError(str(stop)) from None
    if pace.images:
        say(pace.report_line(plan.method))
    report_and_exit(
        out,
        share=share,
        say_missing=task is None,
        strict=options.strict,
        as_json=options.as_json,
        extra=pace.as_dict() if network else {},
    )
