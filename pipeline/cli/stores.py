"""Commands on a store that is there: status, verify, preview."""

import json
from pathlib import Path

import click

from dilo.pipeline.cli.options import EXISTING, NAMED, json_option, say, user_errors


@click.command()
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
        finish(store, say_missing=True, strict=False, as_json=as_json)


@click.command()
@click.argument("store", type=EXISTING)
@json_option
@user_errors
def verify(store: Path, as_json: bool) -> None:
    """Re-read every shard of STORE and check it against the plan."""
    from dilo.pipeline.names import escaped
    from dilo.pipeline.plan import Plan, load_names, shard_path
    from dilo.pipeline.progress import Progress
    from dilo.pipeline.shards import faults

    plan = Plan.load(store)
    names = load_names(store, plan)
    found: list[str] = []
    with Progress(plan.images, "images", say) as progress:
        for shard in range(plan.shards):
            expected = [escaped(names[i]) for i in plan.rows(shard)]
            path = shard_path(store, shard)
            found += faults(path, expected, plan.size, plan.fingerprint())
            progress.advance(len(expected), f"{len(found)} faults")
    for fault in found:
        say(fault)
    say(f"{plan.shards} shards of {plan.images} images: {len(found)} faults")
    if as_json:
        click.echo(json.dumps({"images": plan.images, "shards": plan.shards, "faults": found}))
    raise SystemExit(1 if found else 0)


@click.command()
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


def finish(store: Path, *, say_missing: bool, strict: bool, as_json: bool) -> None:
    """Say how far a store is, and exit accordingly."""
    from dilo.pipeline.status import status as store_status

    found = store_status(store)
    for line in found.lines(store, say_missing=say_missing, named=NAMED):
        say(line)
    if as_json:
        click.echo(json.dumps(found.record(store)))
    raise SystemExit(1 if strict and found.failed else 0)
