"""Commands on a store that is there: status, verify, preview, export."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import click

from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    MAX_LISTED,
    jobs_option,
    json_option,
    out_option,
    print_result,
    query_option,
    say,
    user_errors,
)
from dilo.pipeline.cli.outputs import PNG_FILE
from dilo.pipeline.cli.selection import IMAGES
from dilo.pipeline.common.printing import counted, failure_lines
from dilo.pipeline.errors import first_few

if TYPE_CHECKING:
    from PIL.Image import Image

    from dilo.pipeline.images.source import ImageSource
    from dilo.pipeline.store.plan import Plan
    from dilo.pipeline.store.verify import Changes

#: How many faults verify says in a line each.
NAMED_FAULTS = 20


@click.command()
@click.argument("store", type=EXISTING)
@click.option("--missing", is_flag=True, help="Print only the missing shards, as ranges: 0-3,7.")
@click.option(
    "--num-tasks",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --missing: print which tasks of an array of N still have work to do instead.",
)
@json_option
@user_errors
def status(store: Path, missing: bool, num_tasks: int | None, as_json: bool) -> None:
    """Print what is done, missing and failed in STORE.

    To submit again the tasks of a job array that have work left: sbatch --array=$(dilo-prep
    status STORE --missing --num-tasks N). If nothing is missing, the line is empty.
    """
    from dilo.pipeline.compute.arrays import tasks_of
    from dilo.pipeline.store.plan import Plan, load_names
    from dilo.pipeline.store.status import format_ranges, missing_shards

    if num_tasks and not missing:
        raise click.UsageError("--num-tasks belongs to --missing")
    if not missing:
        report_and_exit(store, say_missing=True, strict=False, as_json=as_json)
    plan = Plan.load(store)
    load_names(store, plan)
    shards = missing_shards(store, plan)
    numbers = tasks_of(shards, num_tasks) if num_tasks else shards
    record = {"tasks" if num_tasks else "missing": numbers}
    print_result([format_ranges(numbers)], record, as_json=as_json)


@click.command()
@click.argument("store", type=EXISTING)
@click.option(
    "--images",
    type=IMAGES,
    help="Also read every image of this folder, and check that it is the one the store was made "
    "from.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Move damaged shards to STORE/damaged; the command that made the store then rebuilds "
    "them.",
)
@jobs_option
@json_option
@user_errors
def verify(store: Path, images: Path | None, repair: bool, jobs: int, as_json: bool) -> None:
    """Read every shard of STORE again, and check every byte of it against its digest."""
    from dilo.pipeline.common.progress import Progress
    from dilo.pipeline.compute.executors import run_shards
    from dilo.pipeline.images.presence import require_images
    from dilo.pipeline.images.source import open_images
    from dilo.pipeline.store.plan import Plan, load_names
    from dilo.pipeline.store.verify import (
        Changes,
        Verifier,
        move_damaged,
        require_right_folder,
        undo_advice,
    )

    plan = Plan.load(store)
    names = load_names(store, plan)
    source = None
    if images is not None:
        source = open_images(images, store, in_order=plan.kind == "images").absolute()
        require_images(source, names)
    checks, count = [], 0
    with Progress(plan.images, "images", say, steady=True) as progress:
        for check in run_shards(Verifier(store, source), range(plan.shards), jobs=jobs):
            count += len(check.faults)
            progress.advance(check.images, f"{count} faults")
            checks.append(check)
    checks.sort(key=lambda check: check.shard)
    changes = sum((check.changes for check in checks), Changes())
    if source is not None:
        require_right_folder(source, changes)
    faults = [fault for check in checks for fault in check.faults]
    missing = [check.shard for check in checks if not check.exists]
    if not as_json:  # also where the repair is refused
        print_result(_fault_lines(plan, faults, missing, changes))
    moved = move_damaged(store, plan, checks) if repair else []
    names_moved = [path.name for path in moved]
    lines = [f"moved into {moved[0].parent}: {first_few(names_moved)}"] if moved else []
    record = {"images": plan.images, "shards": plan.shards, "faults": faults}
    record |= {"missing_shards": missing, "missing_images": changes.absent}
    record |= {"unread_images": changes.unread, "moved": names_moved}
    print_result(lines, record, as_json=as_json)
    if moved:
        say("run the dilo-prep command of this store again to rebuild them")
        say(undo_advice(store, moved))
    raise SystemExit(1 if faults or missing or changes.lost else 0)


def _fault_lines(
    plan: "Plan", faults: list[str], missing: list[int], changes: "Changes"
) -> list[str]:
    """Describe what verify found: the first faults and a count, and what is missing."""
    from dilo.pipeline.store.status import format_ranges

    unreadable = [f"{name}: the image is missing" for name in changes.absent]
    unreadable += [
        f"{name}: the image can no longer be read: {reason}"
        for name, reason in changes.unread.items()
    ]
    problems = [*faults, *unreadable]
    lines = problems[:NAMED_FAULTS]
    if len(problems) > NAMED_FAULTS:
        lines.append(f"and {len(problems) - NAMED_FAULTS} more: --json lists all")
    suffix = f", {counted(len(unreadable), 'image')} missing or unreadable" if unreadable else ""
    lines.append(
        f"{counted(plan.shards, 'shard')} of {counted(plan.images, 'image')}: "
        f"{counted(len(faults), 'fault')}{suffix}"
    )
    if missing:
        lines.append(f"{len(missing)} of {plan.shards} shards missing: {format_ranges(missing)}")
    return lines


@click.command()
@click.argument("stores", type=EXISTING, nargs=-1, required=True, metavar="STORE...")
@click.option(
    "--images",
    type=IMAGES,
    help="Folder of the images; for backgrounds optional: shows their windows in the images.",
)
@out_option(type=PNG_FILE, required=True, help="Picture to write: FILE.png.")
@click.option(
    "--count", default=16, show_default=True, type=click.IntRange(1, 1000), help="Number of images."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Seed for the choice of images.",
)
@query_option
@user_errors
def preview(
    stores: tuple[Path, ...],
    images: Path | None,
    out: Path,
    count: int,
    seed: int,
    query: tuple[str, ...],
) -> None:
    """Draw a contact sheet of STORE: image, mask and foreground, or backgrounds.

    Several stores of masks are compared: each row shows an image, then its mask from each
    store, in the order given, with the name of the method. Images are matched by path; images
    that are not in all stores are skipped. The same seed selects the same images.
    """
    from dilo.pipeline.common.files import atomic_write
    from dilo.pipeline.images.source import open_images
    from dilo.pipeline.store.plan import Plan

    if len(stores) > 1 or Plan.load(stores[0]).kind == "masks":
        if images is None:
            raise click.UsageError(
                "a preview of masks needs the folder of their images: give --images DIR"
            )
        picture = _draw_masks(stores, open_images(images, stores[0]), query, count=count, seed=seed)
    elif query:
        raise click.UsageError("--query needs a store of masks, got a store of backgrounds")
    else:
        source = None if images is None else open_images(images, stores[0])
        picture = _draw_backgrounds(stores[0], source, count=count, seed=seed)
    with atomic_write(out) as part:
        picture.save(part, format="PNG")
    print_result([f"{out}: {picture.width} x {picture.height} pixels"])


def _draw_masks(
    stores: tuple[Path, ...],
    images: "ImageSource",
    query: tuple[str, ...],
    *,
    count: int,
    seed: int,
) -> "Image":
    """Draw the masks of a store, or of several side by side."""
    from dilo.pipeline.images.names import find_rows
    from dilo.pipeline.masks.preview import Comparison, choose_images, mask_sheet

    comparison = Comparison.open(stores)
    names = comparison.names
    rule = f"an image of {' and '.join(map(str, stores))}"
    selection = [names[row] for row in find_rows(query, names, images.path, rule)]
    selection = selection or choose_images(names, count=count, seed=seed)
    _say_unread(images, selection)
    if len(stores) == 1:
        return mask_sheet(comparison.stores[0], images, selection)
    skipped = comparison.skipped
    suffix = f"; {skipped} skipped, which only some have" if skipped else ""
    say(f"{len(names)} images are in all {len(stores)} stores{suffix}")
    return comparison.sheet(images, selection)


def _say_unread(images: "ImageSource", selection: list[str]) -> None:
    """Refuse a folder that holds none of the images that are shown, or say how many it lacks."""
    from dilo.pipeline.images.presence import require_any

    if unread := require_any(images, selection):
        say(f"{unread} of {len(selection)} images cannot be read: the sheet shows why")


def _draw_backgrounds(
    store: Path, images: "ImageSource | None", *, count: int, seed: int
) -> "Image":
    """Draw the backgrounds of a store, or where they lie in their images."""
    from dilo.pipeline.backgrounds.preview import crop_sheet, window_sheet
    from dilo.pipeline.backgrounds.store import BackgroundStore

    backgrounds = BackgroundStore(store)
    if images is None:
        return crop_sheet(backgrounds, count=count, seed=seed)
    _say_unread(images, [backgrounds.source(0), backgrounds.source(-1)])
    return window_sheet(backgrounds, images, count=count, seed=seed)


@click.command()
@click.argument("store", type=EXISTING)
@out_option(type=FOLDER, required=True, help="Folder of PNGs to write, or to resume.")
@click.option(
    "--size",
    type=click.Choice(["image", "store"]),
    default="image",
    show_default=True,
    help="image: resized to its image's height and width, as other programs expect a mask; "
    "store: exactly as stored.",
)
@jobs_option
@json_option
@user_errors
def export(
    store: Path, out: Path, size: Literal["image", "store"], jobs: int, as_json: bool
) -> None:
    """Write the masks of STORE as grayscale PNGs: a/b.png for a/b.jpg. Needs no images.

    If two images would get the same PNG, such as a/b.jpg and a/b.png, both keep their
    extension: a/b.jpg.png. A failed image has no PNG. It can be interrupted at any time; the
    same command resumes.
    """
    from dilo.pipeline.common.progress import Progress
    from dilo.pipeline.compute.executors import run_shards
    from dilo.pipeline.masks import export as work
    from dilo.pipeline.store.plan import Plan

    ambiguous = work.prepare_export(store, out, size)
    plan = Plan.load(store)
    written = kept = 0
    failed: dict[str, str] = {}
    write = functools.partial(work.export_shard, store, out, size=size, ambiguous=ambiguous)
    with Progress(plan.images, "images", say, steady=True) as progress:
        for outcome in run_shards(write, range(plan.shards), jobs=jobs):
            written, kept = written + outcome.written, kept + outcome.kept
            failed |= outcome.failed
            done = outcome.written + outcome.kept + len(outcome.failed)
            progress.advance(done, f"{len(failed)} failed")
    failed = dict(sorted(failed.items()))
    summary = (
        f"{out}: {counted(written, 'PNG')} written, {kept} already there, "
        f"{counted(len(failed), 'image')} failed"
    )
    failures = failure_lines(failed, MAX_LISTED, f": dilo-prep status {store} --json")
    counts = {"images": plan.images, "written": written, "kept": kept}
    record = {"store": str(store), "out": str(out), "size": size, **counts, "failed": failed}
    print_result([summary, *failures], record, as_json=as_json)


def report_and_exit(
    store: Path,
    *,
    share: list[int] | None = None,
    say_missing: bool,
    strict: bool,
    as_json: bool,
    extra: Mapping[str, object] | None = None,
) -> NoReturn:
    """Print how far a store is, or some of its shards, and exit by it; JSON has `extra` too."""
    from dilo.pipeline.store.status import status as store_status

    state = store_status(store, share)
    counts = None
    if state.plan.kind == "backgrounds":
        from dilo.pipeline.backgrounds.counts import count_backgrounds

        counts = count_backgrounds(state.plan, state.done, state.summaries)
    details = [counts.summary()] if counts else []
    lines = state.report_lines(
        store, say_missing=say_missing, max_failures=MAX_LISTED, details=details
    )
    count_fields = dataclasses.asdict(counts) if counts else {}
    record = {**state.as_dict(store), **count_fields, **(extra or {})}
    print_result(lines, record, as_json=as_json)
    raise SystemExit(1 if strict and state.failed else 0)
