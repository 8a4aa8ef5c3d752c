"""What every command that makes a store shares: which images, who computes, what is said."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dilo.pipeline.cli.options import EXISTING, Failure, grouped, jobs_option, json_option, say
from dilo.pipeline.cli.stores import finish
from dilo.pipeline.common.printing import counted

if TYPE_CHECKING:
    from dilo.pipeline.compute.arrays import Task
    from dilo.pipeline.compute.batches import Pace
    from dilo.pipeline.compute.shard import ShardBuilder
    from dilo.pipeline.images.listing import Selection
    from dilo.pipeline.store.plan import Plan


def _selection(
    images: Path, listed: Path | None, include: tuple[str, ...], limit: int | None
) -> "Selection":
    """Make the argument; its module imports too much for --help."""
    from dilo.pipeline.images.listing import Selection

    return Selection(images, listed, include, limit)


#: --images and what narrows it, as one argument `images`.
selection_options = grouped(
    "images",
    _selection,
    {
        "images": click.option(
            "--images", type=EXISTING, required=True, help="Folder of images, at any depth."
        ),
        "listed": click.option(
            "--list",
            "listed",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The images to take, in this order: paths below --images, one a line, as "
            "images.txt has them.",
        ),
        "include": click.option(
            "--include",
            multiple=True,
            metavar="GLOB",
            help="Only images that match: '*.png' is compared with file names, 'n01*/*' with "
            "paths below --images. May be given again.",
        ),
        "limit": click.option(
            "--limit", type=click.IntRange(min=1), help="Only the first so many of them."
        ),
    },
)

size_option = click.option(
    "--size",
    default=224,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="Side of a mask, in pixels.",
)

shard_size_option = click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    show_default="from the number of images",
    help="Images a shard.",
)


def found_so_far(
    say: Callable[[str], None] = say, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Make the function that says, in one line every 30 s, how many images were found."""
    from dilo.pipeline.common.progress import PERIOD

    last = clock()

    def found(count: int) -> None:
        nonlocal last
        if clock() - last >= PERIOD:
            last = clock()
            say(f"{count} images found so far")

    return found


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
class Sharding:
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
        """Tell whether others than this machine compute."""
        return self.backend in ("dask", "ray")

    def task(self) -> "Task | None":
        """Tell which share of the work is this process's; None for all of it."""
        from dilo.pipeline.compute.arrays import find_task

        return find_task(self.num_tasks, self.task_id)


sharding_options = grouped(
    "how",
    Sharding,
    {
        "jobs": jobs_option,
        "backend": click.option(
            "--backend",
            default="loky",
            show_default=True,
            type=click.Choice(["loky", "threading", "dask", "ray"]),
            help="Who computes: processes here, threads here, a cluster. Threads do not survive an "
            "image that kills.",
        ),
        "scheduler": click.option(
            "--scheduler", help="Address of the Dask scheduler or the Ray cluster."
        ),
        "num_tasks": click.option(
            "--num-tasks",
            metavar="N|auto",
            callback=_num_tasks,
            help="This is one of N tasks of a batch array, and does its share. auto: as many as "
            "the array has, where Slurm, LSF or SGE say it.",
        ),
        "task_id": click.option(
            "--task-id",
            type=click.IntRange(min=0),
            show_default="from the batch system",
            help="Which of them, from 0.",
        ),
        "plan_only": click.option(
            "--plan-only",
            is_flag=True,
            help="Read the folder and write the plan, for the tasks of an array; compute nothing.",
        ),
        "strict": click.option("--strict", is_flag=True, help="Exit with 1 if an image failed."),
        "as_json": json_option,
    },
)


def make_shards(
    builder: "ShardBuilder",
    plan: "Plan",
    how: Sharding,
    *,
    network: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Make what a planned store lacks, or one task's share of it, and say what came of it.

    `ready` is called before workers start, if there is anything to do.
    """
    from dilo.pipeline.common.files import sweep
    from dilo.pipeline.compute.arrays import unshared_line

    if how.plan_only:
        say(f"{_images(plan)} of {plan.shard_size}: planned")
        finish(builder.store, say_missing=False, strict=how.strict, as_json=how.as_json)
    task = how.task()
    if line := task.line() if task else unshared_line():
        say(line)
    share = (task.share if task else list)(range(plan.shards))
    todo = _left_of(share, builder, plan, look_back=task is None)
    if todo:
        ready()
    try:
        pace = _compute(builder, plan, todo, how)
    finally:
        with suppress(OSError):  # what ended the run says more
            sweep(builder.store)  # of workers that were killed as this run began, or by its end
    if pace.images:
        say(pace.words(plan.method))
    finish(
        builder.store,
        share=share,
        say_missing=task is None,
        strict=how.strict,
        as_json=how.as_json,
        more=pace.record() if network else {},
    )


def _images(plan: "Plan") -> str:
    """Say how large a store is."""
    return f"{counted(plan.images, 'image')} in {counted(plan.shards, 'shard')}"


def _left_of(
    share: list[int], builder: "ShardBuilder", plan: "Plan", *, look_back: bool
) -> list[int]:
    """Tell which shards are still to do, and look whether the images of the others changed."""
    from dilo.pipeline.common.progress import Progress
    from dilo.pipeline.store.status import missing_shards
    from dilo.pipeline.store.verify import require_unchanged

    missing = set(missing_shards(builder.store, plan))
    todo = [shard for shard in share if shard in missing]
    total = sum(len(plan.rows(shard)) for shard in todo)
    say(f"{_images(plan)}; to do: {counted(total, 'image')} in {len(todo)}")
    done = sorted(set(share) - missing)
    if look_back and done:
        with Progress(len(done), "shards looked back at", say, steady=True) as bar:
            require_unchanged(builder.images, builder.store, done, advance=lambda: bar.advance(1))
    return todo


def _compute(builder: "ShardBuilder", plan: "Plan", todo: list[int], how: Sharding) -> "Pace":
    """Build shards, showing how far it is; a stop says what is done. Give a network's pace."""
    from dilo.pipeline.common.progress import Progress
    from dilo.pipeline.compute.batches import Pace
    from dilo.pipeline.compute.executors import run
    from dilo.pipeline.compute.isolation import IsolatedBuilder
    from dilo.pipeline.store.status import missing_shards

    outcomes = run(
        builder.build,
        todo,
        jobs=how.jobs,
        backend=how.backend,
        scheduler=how.scheduler,
        apart=IsolatedBuilder(builder).build,
    )
    total, failed, pace = sum(len(plan.rows(shard)) for shard in todo), 0, Pace()
    with closing(outcomes), Progress(total, "images", say, steady=True) as progress:
        try:
            for outcome in outcomes:
                failed += len(outcome.failed)
                pace += outcome.pace or Pace()
                progress.advance(outcome.images, f"{failed} failed")
        except KeyboardInterrupt:
            left = set(missing_shards(builder.store, plan)).intersection(todo)
            done = total - sum(len(plan.rows(shard)) for shard in left)
            raise Failure(
                f"stopped; {done} of {total} images are done and kept: "
                f"give the same command to go on"
            ) from None
    return pace
