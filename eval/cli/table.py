"""`dilo-eval table`: runs of several seeds, in one table."""

from pathlib import Path

import click

from dilo.eval.cli.options import print_evaluation, require_outside
from dilo.pipeline.cli.naming import split_name
from dilo.pipeline.cli.options import FOLDER, json_option, out_option, say, user_errors
from dilo.pipeline.common.extras import require_torch


def _runs_of_arms(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str | None, Path]]:
    """Read [ARM=]RUN; many runs may be of one arm."""
    runs = []
    for value in values:
        arm, path = split_name(value, Path.exists)
        if not path.exists():
            raise click.BadParameter(f"must be a RUN, or ARM=RUN, got {value}: not found")
        if arm is not None and not (arm and arm.isprintable()):
            raise click.BadParameter(f"a name must be printable letters, got {value!r}")
        runs.append((arm, path))
    return runs


@click.command("table")
@click.argument("runs", nargs=-1, required=True, metavar="[ARM=]RUN ...", callback=_runs_of_arms)
@click.option(
    "--all",
    "whole",
    is_flag=True,
    help="Show every metric, not only the main ones; table.csv and the JSON always have all.",
)
@out_option(type=FOLDER, help="Folder for table.txt, table.md, table.csv and table.json.")
@json_option
@user_errors
def command(
    runs: list[tuple[str | None, Path]], whole: bool, out: Path | None, as_json: bool
) -> None:
    """Show mean and standard deviation over seeds, and differences between arms.

    An arm is the runs that differ in nothing but their seed. Without ARM=, the arm of a run is
    the name of its folder without the seed: runs/moco-0 and runs/moco-1 are of the arm moco.
    Reads the results in RUN/eval, as `dilo-eval report` does. The first arm is the one that the
    others are compared with, over the seeds that both have.
    """
    if out is not None:
        require_outside(out, (path if path.is_dir() else path.parent.parent for _, path in runs))
    require_torch("dilo-eval")
    from dilo.eval.common.results import require_ours
    from dilo.eval.table import Request, evaluate

    require_ours(out, "table")
    print_evaluation(evaluate(Request(runs=runs, whole=whole, out=out), say), as_json=as_json)
