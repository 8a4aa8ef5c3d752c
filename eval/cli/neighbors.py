"""`dilo-eval neighbors`: queries and the images that checkpoints find most similar to them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.options import (
    IMAGES_OR_FEATURES,
    Narrowing,
    class_option,
    count_option,
    layer_option,
    machine_options,
    name_option,
    named_checkpoints,
    print_evaluation,
    require_outside,
    seed_option,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.naming import Named
from dilo.pipeline.cli.options import (
    json_option,
    option_group,
    out_option,
    query_option,
    say,
    user_errors,
)
from dilo.pipeline.cli.selection import narrowing_options
from dilo.pipeline.common.extras import require, require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.attribution.maps import ClassRule
    from dilo.eval.models.encoder import Layer
    from dilo.eval.neighbors.comparison import Pick


@click.command("neighbors")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    required=True,
    metavar="[NAME=]PATH",
    callback=named_checkpoints,
    help="A checkpoint of any program, or the folder of a run; given again, they are shown side "
    "by side.",
)
@click.option(
    "--images",
    required=True,
    type=IMAGES_OR_FEATURES,
    help="The images among which neighbours are found; with one checkpoint also a file of "
    "`dilo-eval features`.",
)
@click.option(
    "--queries",
    type=IMAGES_OR_FEATURES,
    show_default="--images, each without itself",
    help="The images to find neighbours of: a folder or a file of features.",
)
@option_group("narrowing", Narrowing, narrowing_options(other="--queries"))
@click.option(
    "--k", default=3, show_default=True, type=click.IntRange(min=1), help="Neighbours to show."
)
@click.option(
    "--pick",
    type=click.Choice(["random", "successes", "failures"]),
    show_default="random",
    help="Queries to show: any; those where the first checkpoint is right and the second wrong; "
    "or the reverse. Right means that the vote of the 20 nearest images elects its class.",
)
@query_option
@count_option
@seed_option
@layer_option
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    metavar="[NAME=]PATH",
    callback=named_checkpoints,
    help="The result of `dilo-eval linear` for a checkpoint, with NAME of that checkpoint: also "
    "show the gradient of the query's score.",
)
@class_option
@machine_options("precision")
@name_option
@json_option
@out_option(
    type=click.Path(path_type=Path),
    show_default="RUN/eval/neighbors, if the only checkpoint is of a run",
    help="Folder for neighbors.png and neighbors.json; or FILE.png or FILE.pdf.",
)
@user_errors
def command(
    checkpoints: Named,
    images: Path,
    queries: Path | None,
    narrowing: Narrowing,
    k: int,
    pick: "Pick | None",
    query: tuple[str, ...],
    count: int,
    seed: int,
    layer: "Layer | None",
    classifiers: Named,
    rule: "ClassRule | None",
    machine: Machine,
    name: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Show queries beside the images that a checkpoint finds most similar.

    Similarity is the cosine of features. Where the images lie in class folders, a neighbour of
    the query's class has a green frame and a tick, another a red one and a cross, and
    precision@k is the share of neighbours, over all queries, that are of the query's class.
    """
    _check(checkpoints, classifiers, pick, query)
    require_torch("dilo-eval")
    require("dilo-eval neighbors", ("matplotlib",), "eval")
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.eval.neighbors.evaluation import Request, evaluate, is_picture

    if out is not None and is_picture(out):
        _require_own_picture(out)
    else:
        require_ours(out, "neighbors")
    place = result_folder("neighbors", out, checkpoints[0][1] if len(checkpoints) == 1 else None)
    require_outside(place, (path for path in (images, queries) if path is not None))
    request = Request(
        checkpoints=checkpoints,
        images=narrowing.train(images),
        queries=None if queries is None else narrowing.test(queries),
        k=k,
        pick=pick,
        query=query,
        count=count,
        seed=seed,
        layer=layer or "pooled",
        classifiers=classifiers,
        rule=rule,
        machine=machine,
        out=place,
        of_run=out is None,
        name=name,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)


def _check(
    checkpoints: Named,
    classifiers: Named,
    pick: str | None,
    query: tuple[str, ...],
) -> None:
    """Refuse options that do not go together."""
    names = list(dict(checkpoints))
    if query and pick:
        raise click.BadParameter("must not be given with --query", param_hint="--pick")
    if pick not in (None, "random") and len(names) < 2:
        raise click.BadParameter(
            f"{pick} compares two checkpoints, got one: give --checkpoint twice",
            param_hint="--pick",
        )
    for name, _ in classifiers:
        if name not in names:
            raise click.BadParameter(
                f"must have the name of a checkpoint, {' or '.join(names)}, got {name}: "
                "give NAME=PATH",
                param_hint="--classifier",
            )


def _require_own_picture(out: Path) -> None:
    """Refuse a picture that holds something else than an earlier result."""
    from dilo.eval.common.results import require_record

    record = out.with_suffix(".json")
    require_record("--out", record, "neighbors")
    if out.exists() and not record.exists():
        raise click.BadParameter(
            f"must be a new file, or a picture with its record {record.name}, got {out}, which "
            "would be lost: give another name",
            param_hint="--out",
        )
