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
from dilo.pipeline.common.extras import require, require_torch

if TYPE_CHECKING:
    from dilo.eval.common.results import Evaluation

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

#: The options of --discovery alone.
DISCOVERY = {
    "list_file": click.option(
        "--list",
        "list_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="With --discovery: only these images, one a line, such as VOC's trainval.txt.",
    ),
    "no_hard": click.option(
        "--no-hard",
        is_flag=True,
        help="With --discovery: objects that are difficult or truncated do not count.",
    ),
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
@click.option(
    "--discovery",
    is_flag=True,
    help="Find one object an image by the rule of LOST: of --maps by the largest component, of "
    "--checkpoint, which needs no classifier, by its features. Needs --boxes.",
)
@click.option("--images", type=EXISTING, required=True, help="The images, at any depth.")
@click.option("--truth", type=EXISTING, help="PNGs, white where the object is.")
@click.option(
    "--boxes",
    type=click.Path(exists=True, path_type=Path),
    help="Instead of --truth: a CSV file of path,x0,y0,x1,y1, a folder of XML as VOC's and "
    "ImageNet's, or a file instances_*.json as COCO's.",
)
@option_group("discovered", dict, DISCOVERY)
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
    discovery: bool,
    images: Path,
    truth: Path | None,
    boxes: Path | None,
    discovered: dict[str, Any],
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
    if not discovery and any(discovered.values()):
        raise click.UsageError("give --list and --no-hard with --discovery alone")
    require_torch("dilo-eval")
    task = "discovery" if discovery else "localize"
    from dilo.eval.common.results import require_ours, result_folder

    alone = classifiers[0][1] if len(classifiers) == 1 else None
    place = result_folder(task, out, alone)
    require_outside(place, (images, truth, boxes, *(folder for _, folder in maps)))
    require_ours(out, task)
    shared: dict[str, Any] = {"maps": maps, "images": images, "out": place, "of_run": out is None}
    if discovery:
        evaluation = _discover(classifiers, boxes, machine, settings, {**discovered, **shared})
        print_evaluation(evaluation, as_json=as_json)
        return
    plots = not settings.pop("no_plots")
    if plots:
        require("dilo-eval localize", ("matplotlib",), "eval", instead=", or give --no-plots")
    from dilo.eval.localize.evaluation import evaluate
    from dilo.eval.localize.request import Request

    request = Request(
        classifiers=classifiers,
        truth=truth,
        boxes=boxes,
        plots=plots,
        sheets=not settings.pop("no_sheets"),
        methods=tuple(dict.fromkeys(settings.pop("methods"))),
        machine=machine,
        **settings,
        **shared,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)


def _discover(
    checkpoints: Named,
    boxes: Path | None,
    machine: Machine,
    settings: dict[str, Any],
    others: dict[str, Any],
) -> "Evaluation":
    """Find one object an image, instead of scoring maps."""
    if boxes is None:
        raise click.UsageError("give --boxes with --discovery, whose rule compares boxes")
    if machine.size is not None or settings["rule"] is not None:
        raise click.UsageError(
            "give --discovery without --size and --class: images keep their size, and no class is "
            "asked for"
        )
    from dilo.eval.localize.discovery import DiscoveryRequest, evaluate_discovery

    request = DiscoveryRequest(
        checkpoints=checkpoints,
        boxes=boxes,
        sheets=not settings["no_sheets"],
        name=settings["name"],
        allow_missing=settings["allow_missing"],
        machine=machine,
        **others,
    )
    return evaluate_discovery(request, say)
