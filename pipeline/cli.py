"""`dilo-prep`: options to tasks, outcomes to words and exit status."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dilo.pipeline.errors import DiloError

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., None])

#: How many failed images are named on a terminal; --json names all.
NAMED = 10

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
)


def _workers(ctx: click.Context, parameter: click.Parameter, value: int) -> int:
    """Refuse no workers."""
    if value == 0:
        raise click.BadParameter("0 workers do nothing; -1 is one a core")
    return value


jobs_option = click.option(
    "--jobs",
    default=-1,
    show_default="one a core",
    callback=_workers,
    help="Workers, as joblib counts them: -2 leaves one core free.",
)


class Failure(click.ClickException):
    """Something that a user can mend, at the command line: the sentence, and status 3."""

    exit_code = 3

    def show(self, file: Any = None) -> None:
        """Print the sentence without click's usage lines."""
        click.echo(f"Error: {self.message}", err=True)


def user_errors(command: Command) -> Command:
    """Turn what a user can mend into `Failure`, and an interrupt into a word on resuming."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except DiloError as error:
            raise Failure(str(error)) from error
        except KeyboardInterrupt:
            raise Failure("stopped; give the same command to go on") from None
        except OSError as error:
            # A full disk, a folder that cannot be written: h5py's errors name no file.
            where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Failure(f"{where}: finished work is kept") from error

    return wrapped  # type: ignore[return-value]  # same signature, which wraps() keeps


def settings_of(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[str, Any]:
    """Read NAME=VALUE, the value being a number, a list, true, false or else a word."""
    settings = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"must be NAME=VALUE, got {word!r}")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings


def say(line: str) -> None:
    """Print words for people, on standard error."""
    click.echo(line, err=True)


@click.group()
@click.version_option(package_name="dilo", prog_name="dilo-prep")
def main() -> None:
    """Compute saliency masks for a folder of images, once, into shards that training streams.

    \b
    Exit status of every command:
      0  done
      1  done, but images failed and --strict was given, or verify found faults
      2  the command line is wrong
      3  could not go on; the message says why and what to do
    """


@main.command()
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
    plan = work.prepare(
        images,
        out,
        recipe=recipe,
        size=size,
        shard_size=shard_size,
        limit=limit,
        trust_plan=task is not None,
    )
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
    _finish(out, say_missing=task is None, strict=strict, as_json=as_json)


@main.command()
@click.argument("store", type=EXISTING)
@click.option(
    "--missing", is_flag=True, help="Print the missing shards as an array specification: 0-3,7."
)
@json_option
@user_errors
def status(store: Path, missing: bool, as_json: bool) -> None:
    """Say what is done, missing and failed in STORE.

    With --missing, an array of as many tasks as there are shards takes what it prints:
    sbatch --array=$(dilo-prep status STORE --missing), with --num-tasks the number of shards.
    """
    from dilo.pipeline.plan import Plan
    from dilo.pipeline.status import missing_shards, ranges

    if missing:
        click.echo(ranges(missing_shards(store, Plan.load(store))))
    else:
        _finish(store, say_missing=True, strict=False, as_json=as_json)


@main.command()
@click.argument("store", type=EXISTING)
@json_option
@user_errors
def verify(store: Path, as_json: bool) -> None:
    """Re-read every shard of STORE and check it against the plan."""
    from dilo.pipeline.plan import Plan, load_names, shard_path
    from dilo.pipeline.progress import Progress
    from dilo.pipeline.shards import faults

    plan = Plan.load(store)
    names = load_names(store, plan)
    found: list[str] = []
    with Progress(plan.images, "images", say) as progress:
        for shard in range(plan.shards):
            expected = [names[i] for i in plan.rows(shard)]
            path = shard_path(store, shard)
            found += faults(path, expected, plan.size, plan.fingerprint())
            progress.advance(len(expected), f"{len(found)} faults")
    for fault in found:
        say(fault)
    say(f"{plan.shards} shards of {plan.images} images: {len(found)} faults")
    if as_json:
        click.echo(json.dumps({"images": plan.images, "shards": plan.shards, "faults": found}))
    raise SystemExit(1 if found else 0)


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--images", type=EXISTING, required=True, help="The folder the masks are of.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The picture to write: FILE.png.",
)
@click.option(
    "--count", default=16, show_default=True, type=click.IntRange(1, 1000), help="How many images."
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Which images."
)
@user_errors
def preview(store: Path, images: Path, out: Path, count: int, seed: int) -> None:
    """Draw a contact sheet of STORE: image, mask, foreground."""
    from dilo.pipeline.preview import mask_sheet
    from dilo.pipeline.store import MaskStore

    picture = mask_sheet(MaskStore(store), images, count=count, seed=seed)
    picture.save(out, format="PNG")
    say(f"{out}: {picture.width} x {picture.height}")


def _finish(store: Path, *, say_missing: bool, strict: bool, as_json: bool) -> None:
    """Say how far a store is, and exit accordingly."""
    from dilo.pipeline.status import status as store_status

    found = store_status(store)
    for line in found.lines(store, say_missing=say_missing, named=NAMED):
        say(line)
    if as_json:
        click.echo(json.dumps(found.record(store)))
    raise SystemExit(1 if strict and found.failed else 0)
