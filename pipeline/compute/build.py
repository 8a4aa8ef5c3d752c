"""Build what a planned store lacks, by as many workers as are asked for."""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress

from dilo.pipeline.common.files import remove_leftovers
from dilo.pipeline.common.printing import counted
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.compute.batches import Throughput
from dilo.pipeline.compute.executors import run_shards
from dilo.pipeline.compute.isolation import IsolatedBuilder
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.status import missing_shards
from dilo.pipeline.store.verify import require_unchanged


class Stopped(KeyboardInterrupt):
    """A stop by the user, in words that say what is done."""


def images_in_shards(plan: Plan) -> str:
    """Format how large a store is."""
    return f"{counted(plan.images, 'image')} in {counted(plan.shards, 'shard')}"


def build_store(
    builder: ShardBuilder,
    plan: Plan,
    shards: Sequence[int] | None = None,
    *,
    jobs: int,
    backend: str = "loky",
    scheduler: str | None = None,
    look_back: bool = True,
    before_start: Callable[[], None] = lambda: None,
    say: Callable[[str], None] | None = None,
) -> Throughput:
    """Build the shards that are missing, of all or of some, and return the pace of a network.

    With `look_back`, a store some of whose finished images have changed is refused.
    `before_start` is called before workers start, if there is anything to do. Lines for people,
    and a bar on a terminal, only if there is a `say`.
    """
    write, terminal = (say, None) if say is not None else (_quiet, False)
    missing = set(missing_shards(builder.store, plan))
    shards = range(plan.shards) if shards is None else shards
    todo = [shard for shard in shards if shard in missing]
    total = sum(len(plan.rows(shard)) for shard in todo)
    write(f"{images_in_shards(plan)}; to do: {counted(total, 'image')} in {len(todo)}")
    finished = sorted(set(shards) - missing)
    if look_back and finished:
        label = "finished shards checked"
        comparison = Progress(len(finished), label, write, terminal=terminal, steady=True)
        with comparison as bar:
            require_unchanged(
                builder.images, builder.store, finished, advance=lambda: bar.advance(1)
            )
    if todo:
        before_start()
    isolated = IsolatedBuilder(builder).build
    outcomes = run_shards(
        builder.build, todo, jobs=jobs, backend=backend, scheduler=scheduler, isolated=isolated
    )
    failed, pace = 0, Throughput()
    progress = Progress(total, "images", write, terminal=terminal, steady=True)
    try:
        with closing(outcomes), progress:
            for outcome in outcomes:
                failed += len(outcome.failed)
                pace += outcome.pace or Throughput()
                progress.advance(outcome.images, f"{failed} failed")
    except KeyboardInterrupt:
        still_missing = set(missing_shards(builder.store, plan)).intersection(todo)
        done_images = total - sum(len(plan.rows(shard)) for shard in still_missing)
        raise Stopped(
            f"interrupted; {done_images} of {total} images are done and kept: "
            f"the same command resumes"
        ) from None
    finally:
        with suppress(OSError):  # what ended the run says more
            # Of workers that were killed as this run began, or by its end.
            remove_leftovers(builder.store)
    return pace


def _quiet(line: str) -> None:
    """Write nothing."""
