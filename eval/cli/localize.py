"""`dilo-eval localize`: how much of a map lies on the object."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.eval.cli.options import (
    class_option,
    classifiers_option,
    machine_options,
    name_option,
    named_folders,
    print_evaluation,
    require_outside,
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
from dilo.pipeline.cli.selection import images_options
from dilo.pipeline.common.extras import require, require_torch

if TYPE_CHECKING:
    from dilo.pipeline.images.selection import ImageSelection

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


@click.command("localize")
@classifiers_option(required=False)
@click.option(
    "--maps",
    multiple=True,
    metavar="[NAME=]DIR",
    callback=named_folders,
    help="Maps made elsewhere: a store of dilo-prep, or a folder of PNGs; may be given again.",
)
@images_options("The images, at any depth.")
@click.option("--truth", type=EXISTING, help="PNGs, white where the object is.")
@click.option(
    "--boxes",
    type=click.Path(exists=True, path_type=Path),
    help="Instead of --truth: a CSV file of path,x0,y0,x1,y1, or a folder of XML as ImageNet's.",
)
@option_group("settings", dict, SETTINGS)
@machine_options("precision", batch=32)
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
    images: "ImageSelection",
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
    require_outside(place, (images.root, truth, boxes, *(folder for _, folder in maps)))
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
