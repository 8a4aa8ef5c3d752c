"""`dilo-eval report`: runs side by side, on one page."""

from pathlib import Path

import click

from dilo.eval.cli.naming import named_results
from dilo.eval.cli.options import tell
from dilo.pipeline.cli.options import FOLDER, json_option, say, user_errors
from dilo.pipeline.common.extras import require, require_torch


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN ...", callback=named_results)
@click.option("--out", type=FOLDER, required=True, help="Folder for the page and its files.")
@click.option(
    "--include",
    "others",
    multiple=True,
    metavar="[NAME=]DIR",
    callback=named_results,
    help="Results that belong to no single run, as neighbors of two or scores of masks; may be "
    "given again.",
)
@click.option("--title", default="Runs side by side", show_default=True, help="Of the page.")
@json_option
@user_errors
def command(
    runs: list[tuple[str, Path]],
    out: Path,
    others: list[tuple[str, Path]],
    title: str,
    as_json: bool,
) -> None:
    """Put runs side by side on one page, which needs nothing else to be read.

    Gathers what a run recorded while it trained, and the results in RUN/eval. Writes
    report.html, its pictures, and numbers.csv. What is missing is named, with the command
    that makes it; numbers that were not measured alike are not compared.
    """
    for _, folder in (*runs, *others):
        if out.resolve().is_relative_to(folder.resolve()):
            raise click.BadParameter(
                f"must be outside the folders that are read, got {out} in {folder}",
                param_hint="--out",
            )
    require_torch("dilo-eval")
    require("dilo-eval report", ("matplotlib",), "eval")
    from dilo.eval.report.making import Request, make_report

    request = Request(runs=runs, others=others, out=out, title=title)
    tell(make_report(request, say), as_json=as_json)
