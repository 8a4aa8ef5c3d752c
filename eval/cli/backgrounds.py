"""`dilo-eval backgrounds`: how far classifiers rely on backgrounds."""

from pathlib import Path
from typing import Any

import click

from dilo.eval.cli.options import (
    Narrowing,
    classifiers_option,
    machine_options,
    name_option,
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
from dilo.pipeline.cli.selection import IMAGES, narrowing_options
from dilo.pipeline.common.extras import require, require_torch

#: Variations of a folder with masks, and those that only the challenge has; repeated here, since
#: --help imports no torch.
VARIATIONS = ("original", "only_fg", "no_fg", "mixed_same", "mixed_rand", "mixed_next")
CHALLENGE = (*VARIATIONS, "only_bg_b", "only_bg_t")


def _background_source(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse what is no kind of background, and no folder."""
    if value in (None, "images", "gray") or Path(str(value)).is_dir():
        return value
    raise click.BadParameter(f"must be images, gray or the folder of a store, got {value!r}")


#: The options of --retrieval alone, by the names of their values; None, or none, where not given.
QUERIES = {
    "crop": click.option(
        "--crop",
        type=click.FloatRange(0, 1, min_open=True),
        show_default="0.5",
        help="For --retrieval: least share of an image in a crop; 1 neither crops nor mirrors.",
    ),
    "backgrounds": click.option(
        "--backgrounds",
        metavar="images|gray|STORE",
        callback=_background_source,
        show_default="images",
        help="For --retrieval: those of the other photographs, plain gray, or what `dilo-prep "
        "backgrounds` made.",
    ),
    "same": click.option(
        "--same",
        type=click.Choice(["image", "folder"]),
        show_default="image",
        help="For --retrieval: what is one photograph: an image, or all images of a folder, such "
        "as frames of a video.",
    ),
    "questions": click.option(
        "--questions",
        type=click.IntRange(min=1),
        show_default="1",
        help="For --retrieval: queries of each image, each with another crop and background.",
    ),
    "query": click.option(
        "--query",
        multiple=True,
        metavar="PATH",
        help="For --retrieval: show this image in the picture; may be given again.",
    ),
}


@click.command("backgrounds")
@classifiers_option(required=True)
@click.option(
    "--retrieval",
    is_flag=True,
    help="Find photographs by their foregrounds on other backgrounds; needs no classifier.",
)
@option_group("queries", dict, QUERIES)
@click.option("--challenge", type=EXISTING, help="A release of the Backgrounds Challenge.")
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="in_to_in9.json of the challenge's code, for classifiers of 1000 classes.",
)
@click.option(
    "--images",
    type=IMAGES,
    help="Class folders, to make the variations of; any folder for --retrieval.",
)
@option_group("narrowing", Narrowing, narrowing_options(limit=False))
@click.option("--masks", type=EXISTING, help="The store that dilo-prep masks made of them.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**64 - 1),
    help="Seed of the backgrounds, which are drawn at random.",
)
@click.option(
    "--variations",
    multiple=True,
    type=click.Choice(CHALLENGE),
    show_default="all",
    help="Variation to show; may be given again.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Show only this many images, evenly spaced."
)
@out_option(type=FOLDER, show_default="RUN/eval/backgrounds", help="Folder of the result.")
@machine_options("precision", batch=64)
@name_option
@json_option
@user_errors
def command(
    classifiers: Named,
    retrieval: bool,
    queries: dict[str, Any],
    challenge: Path | None,
    mapping: Path | None,
    images: Path | None,
    narrowing: Narrowing,
    masks: Path | None,
    seed: int,
    variations: tuple[str, ...],
    limit: int | None,
    out: Path | None,
    name: str | None,
    machine: Machine,
    as_json: bool,
) -> None:
    """Measure how far classifiers rely on backgrounds.

    Shows the images of the Backgrounds Challenge (--challenge), or makes the same variations of
    class folders (--images) and their masks (--masks): the image, its foreground alone, its
    background alone, and its foreground on backgrounds of its own class, of any class, of the
    next. Writes backgrounds.json, table.txt and the sheet variations.png.

    With --retrieval, how far networks without labels do: is a photograph found among all by its
    foreground on another background, cropped anew? Writes backgrounds-retrieval.json, table.txt
    and retrieval.png.
    """
    if retrieval:
        if challenge or mapping or variations:
            raise click.UsageError(
                "--retrieval takes --images and --masks, not --challenge, --mapping or --variations"
            )
        _retrieve(
            classifiers,
            images,
            narrowing,
            masks,
            {option: value for option, value in queries.items() if value},
            seed=seed,
            limit=limit,
            out=out,
            name=name,
            machine=machine,
            as_json=as_json,
        )
        return
    if given := [f"--{option}" for option, value in queries.items() if value]:
        raise click.UsageError(f"{given[0]} is for --retrieval only")
    _demand_one_source(challenge, images, masks, variations, mapping)
    require_torch("dilo-eval")
    from dilo.eval.backgrounds.evaluation import Request, evaluate
    from dilo.eval.common.results import require_ours, result_folder

    folder = result_folder("backgrounds", out, classifiers[0][1] if len(classifiers) == 1 else None)
    require_outside(folder, (challenge, images, masks))
    require_ours(out, "backgrounds")
    request = Request(
        classifiers=classifiers,
        challenge=challenge,
        mapping=mapping,
        images=None if images is None else narrowing.train(images),
        masks=masks,
        seed=seed,
        variations=variations,
        limit=limit,
        out=folder,
        of_run=out is None,
        name=name,
        machine=machine,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)


def _retrieve(
    checkpoints: Named,
    images: Path | None,
    narrowing: Narrowing,
    masks: Path | None,
    queries: dict[str, Any],
    *,
    seed: int,
    limit: int | None,
    out: Path | None,
    name: str | None,
    machine: Machine,
    as_json: bool,
) -> None:
    """Look for photographs by their foregrounds on other backgrounds."""
    if images is None or masks is None:
        raise click.UsageError("--retrieval needs --images DIR and --masks STORE")
    require_torch("dilo-eval")
    require("dilo-eval backgrounds --retrieval", ("matplotlib",), "eval")
    from dilo.eval.backgrounds.queries import QueryRecipe
    from dilo.eval.backgrounds.retrieval import TASK, Request, evaluate
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.pipeline.backgrounds.store import BackgroundStore

    folder = result_folder(TASK, out, checkpoints[0][1] if len(checkpoints) == 1 else None)
    require_outside(folder, (images, masks))
    require_ours(out, TASK)
    if queries.get("backgrounds") not in (None, "images", "gray"):
        queries["backgrounds"] = BackgroundStore(queries["backgrounds"])
    shown = queries.pop("query", ())
    request = Request(
        checkpoints=checkpoints,
        images=narrowing.train(images),
        masks=masks,
        recipe=QueryRecipe(seed=seed, **queries),
        query=shown,
        limit=limit,
        out=folder,
        of_run=out is None,
        name=name,
        machine=machine,
    )
    print_evaluation(evaluate(request, say), as_json=as_json)


def _demand_one_source(
    challenge: Path | None,
    images: Path | None,
    masks: Path | None,
    variations: tuple[str, ...],
    mapping: Path | None,
) -> None:
    """Refuse what does not make either the challenge or a folder with masks."""
    if challenge is not None and (images is not None or masks is not None):
        raise click.UsageError("--challenge brings its own images: leave out --images and --masks")
    if challenge is not None:
        return
    if images is None or masks is None:
        raise click.UsageError("give --challenge DIR, or both --images DIR and --masks STORE")
    if mapping is not None:
        raise click.UsageError("--mapping is for --challenge only")
    if others := [name for name in variations if name not in VARIATIONS]:
        raise click.BadParameter(
            f"must be of {', '.join(VARIATIONS)} without --challenge, got {others[0]}",
            param_hint="--variations",
        )
