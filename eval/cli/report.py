"""`dilo-eval report`: runs side by side, on one page."""

from pathlib import Path

import click

from dilo.eval.cli.options import named_folders, named_runs, require_outside
from dilo.pipeline.cli.options import (
    FOLDER,
    json_option,
    out_option,
    print_result,
    say,
    user_errors,
)
from dilo.pipeline.common.extras import require, require_torch
from dilo.pipeline.common.printing import counted


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN ...", callback=named_runs)
@out_option(type=FOLDER, required=True, help="Folder for the page and its files.")
@click.option(
    "--include",
    "others",
    multiple=True,
    metavar="[NAME=]DIR",
    callback=named_folders,
    help="Results that belong to no single run, such as neighbors of two or scores of masks; may "
    "be given again.",
)
@click.option("--title", default="Runs side by side", show_default=True, help="Title of the page.")
@json_option
@user_errors
def command(
    runs: list[tuple[str, Path]],
    out: Path,
    others: list[tuple[str, Path]],
    title: str,
    as_json: bool,
) -> None:
    """Show runs side by side on one HTML page, which needs no other file.

    RUN is the folder of a run, or a checkpoint RUN/checkpoints/step-N.pt, which is shown with the
    results of its step. Gathers what a run recorded while it trained, and the results in
    RUN/eval. Writes report.html, its pictures, and numbers.csv. The page lists what is missing,
    with the command that makes it. Numbers that were measured differently are not compared.
    """
    paths = (path for _, path in (*runs, *others))
    require_outside(out, (path if path.is_dir() else path.parent.parent for path in paths))
    require_torch("dilo-eval")
    require("dilo-eval report", ("jinja2", "matplotlib"), "eval")
    from dilo.eval.report.page import Request, make_report

    request = Request(runs=runs, others=others, out=out, title=title)
    record = make_report(request, say)
    runs_words = counted(len(record["runs"]), "run")
    line = f"{record['page']}: {runs_words}, {counted(len(record['numbers']), 'number')}"
    print_result([line], record, as_json=as_json)
