"""`dilo-eval gradients`: what a classifier looks at in images."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.options import (
    class_option,
    classifiers_option,
    count_option,
    machine_options,
    name_option,
    print_evaluation,
    require_outside,
    seed_option,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.naming import Named
from dilo.pipeline.cli.options import (
    FOLDER,
    json_option,
    out_option,
    query_option,
    say,
    user_errors,
)
from dilo.pipeline.cli.selection import images_options
from dilo.pipeline.common.extras import require, require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.attribution.maps import Attribution, ClassRule
    from dilo.pipeline.images.selection import ImageSelection


@click.command("gradients")
@classifiers_option(required=True)
@images_options("The images, at any depth.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(["gradient", "cam"]),
    show_default="both",
    help="The gradient of the class score, or the class activation map; may be given again.",
)
@class_option
@query_option
@count_option
@seed_option
@machine_options("batch", "workers", "precision")
@name_option
@json_option
@out_option(
    type=FOLDER,
    show_default="RUN/eval/gradients, if the only checkpoint is of a run",
    help="Folder for gradients.png and gradients.json.",
)
@user_errors
def command(
    classifiers: Named,
    images: "ImageSelection",
    methods: "tuple[Attribution, ...]",
    rule: "ClassRule | None",
    query: tuple[str, ...],
    count: int,
    seed: int,
    machine: Machine,
    name: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Show which pixels a class score depends on.

    Draws the gradient of the score before the softmax, through the linear classifier and the
    frozen network (its largest magnitude over the channels), and the class activation map.
    `dilo-eval localize` scores these maps, and `dilo-prep masks --method gradient` and `cam`
    store them.
    """
    require_torch("dilo-eval")
    require("dilo-eval gradients", ("matplotlib",), "eval")
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.eval.gradients.evaluation import Request, evaluate

    folder = result_folder("gradients", out, classifiers[0][1] if len(classifiers) == 1 else None)
    require_outside(folder, (images.root,))
    require_ours(out, "gradients")
    request = Request(
        classifiers=classifiers,
        images=images,
        methods=tuple(dict.fromkeys(methods)) or ("gradient", "cam"),
        rule=rule,
        query=query,
        count=count,
        seed=seed,
        out=folder,
        of_run=out is None,
        name=name,
        machine=machine,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)
