"""`dilo-eval localize`: how much of a map lies on the object."""

from pathlib import Path
from typing import Any

import click

from dilo.eval.cli.options import (
    class_option,
    classifiers_option,
    machine_options,
    name_option,
    named_folders,
    print_evaluation,
    require_outside,
    workers_option,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.naming import Named
from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    json_option,
    option_group,
    out_option,
    say,
    user_errors,
)
from dilo.pipeline.common.extras import require, require_torch

#: The options that the request takes as they are.
SETTINGS = {
    "methods": click.option(
        "--method",
        "methods",
        multiple=True,
        default=("gradient", "cam"),
        show_default="both",
        type=click.Choice(["gradient", "cam"]),
        help="Kind of map that classifiers make; may be given again.",
    ),
    "rule": class_option,
    "name": name_option,
    "allow_missing": click.option(
        "--allow-missing",
        is_flag=True,
        help="Skip images without truth or map; otherwise one is an error.",
    ),
    "no_plots": click.option(
        "--no-plots", is_flag=True, help="Do not draw the plot, which needs matplotlib."
    ),
    "no_sheets": click.option("--no-sheets", is_flag=True, help="Do not draw sheets of examples."),
}


def _side(ctx: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
    """Refuse squares in which nothing can be told apart."""
    if value is not None and value < LEAST_SIDE:
        raise click.BadParameter(
            f"must be at least {LEAST_SIDE} px, got {value}: objects must keep a shape in which "
            "maps can hit or miss"
        )
    return value


#: Least side of the squares, in pixels.
LEAST_SIDE = 8
SIZE_OPTION = click.option(
    "--size",
    type=int,
    callback=_side,
    show_default="of the classifiers' trainings the largest, or 224",
    help="Side of the squares that images, truth and maps are squashed to, in pixels; at least "
    f"{LEAST_SIDE}.",
)
WORKERS_OPTION = workers_option(
    "Processes that score maps, and threads that read images; 0 and 1 score in the main process."
)


@click.command("localize")
@classifiers_option(required=False)
@click.option(
    "--maps",
    multiple=True,
    metavar="[NAME=]DIR",
    callback=named_folders,
    help="Maps made elsewhere: a store of dilo-prep, or a folder of PNGs; may be given again.",
)
@click.option("--images", type=EXISTING, required=True, help="The images, at any depth.")
@click.option("--truth", type=EXISTING, help="PNGs, white where the object is.")
@click.option(
    "--boxes",
    type=click.Path(exists=True, path_type=Path),
    help="Instead of --truth: a CSV file of path,x0,y0,x1,y1, or a folder of XML as ImageNet's.",
)
@option_group("settings", dict, SETTINGS)
@machine_options("precision", batch=32, size=SIZE_OPTION, workers=WORKERS_OPTION)
@out_option(
    type=FOLDER,
    show_default="RUN/eval/localize, if the only checkpoint is of a run",
    help="Folder for tables, the plot and sheets.",
)
@json_option
@user_errors
def command(
    classifiers: Named,
    maps: Named,
    images: Path,
    truth: Path | None,
    boxes: Path | None,
    settings: dict[str, Any],
    machine: Machine,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure how much of a map lies on the object, beside baselines that ignore the image.

    Images pair with masks, boxes and maps by relative path without extension, or, if no
    path matches, by file name. Writes localize.json, table.txt, per-image.csv, the pixels'
    precision-recall curve and, for each kind of maps, a sheet of its best, median and worst.
    """
    if not classifiers and not maps:
        raise click.UsageError("give --checkpoint or --maps, which make or hold the maps")
    if (truth is None) == (boxes is None):
        raise click.UsageError("give either --truth or --boxes, which say where the objects are")
    require_torch("dilo-eval")
    plots = not settings.pop("no_plots")
    if plots:
        require("dilo-eval localize", ("matplotlib",), "eval", instead=", or give --no-plots")
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.eval.localize.evaluation import evaluate
    from dilo.eval.localize.request import Request

    alone = classifiers[0][1] if len(classifiers) == 1 else None
    place = result_folder("localize", out, alone)
    require_outside(place, (images, truth, boxes, *(folder for _, folder in maps)))
    require_ours(out, "localize")
    request = Request(
        classifiers=classifiers,
        maps=maps,
        images=images,
        truth=truth,
        boxes=boxes,
        out=place,
        of_run=out is None,
        plots=plots,
        sheets=not settings.pop("no_sheets"),
        methods=tuple(dict.fromkeys(settings.pop("methods"))),
        machine=machine,
        **settings,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)
