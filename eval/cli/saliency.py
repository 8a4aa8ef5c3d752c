"""`dilo-eval saliency`: masks against ground truth."""

from pathlib import Path

import click

from dilo.eval.cli.options import name_option, named_folders, print_evaluation, require_outside
from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    jobs_option,
    json_option,
    out_option,
    say,
    user_errors,
)
from dilo.pipeline.cli.selection import IMAGES
from dilo.pipeline.common.extras import require


@click.command("saliency")
@click.option(
    "--masks",
    multiple=True,
    required=True,
    metavar="[NAME=]DIR",
    callback=named_folders,
    help="A store of dilo-prep, or a folder of PNGs; given again, methods are compared.",
)
@click.option("--truth", type=EXISTING, required=True, help="PNGs, white where the object is.")
@out_option(type=FOLDER, required=True, help="Folder for tables, plots and sheets.")
@click.option("--images", type=IMAGES, help="The images, to show them on the sheets.")
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Score only images that every method has a mask for; otherwise one missing is an error.",
)
@name_option
@jobs_option
@click.option("--no-plots", is_flag=True, help="Do not draw plots, which need matplotlib.")
@json_option
@user_errors
def command(
    masks: list[tuple[str, Path]],
    truth: Path,
    out: Path,
    images: Path | None,
    allow_missing: bool,
    name: str | None,
    jobs: int,
    no_plots: bool,
    as_json: bool,
) -> None:
    """Score saliency masks against ground truth, as benchmarks do.

    Masks and ground truth pair by relative path without extension, or, if no path
    matches, by file name. Writes saliency.json, table.txt, per-image.csv, two plots and,
    for each method, a sheet of its best, median and worst masks by weighted F.
    """
    require_outside(out, (truth, images, *(folder for _, folder in masks)))
    from dilo.eval.common.results import require_ours

    require_ours(out, "saliency")
    if not no_plots:
        require("dilo-eval saliency", ("matplotlib",), "eval", instead=", or give --no-plots")
    from dilo.eval.saliency.evaluation import Request, evaluate

    request = Request(
        masks=masks,
        truth=truth,
        out=out,
        images=images,
        allow_missing=allow_missing,
        name=name,
        jobs=jobs,
        plots=not no_plots,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)
