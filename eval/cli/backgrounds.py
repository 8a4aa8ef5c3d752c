"""`dilo-eval backgrounds`: how far classifiers rely on backgrounds."""

from pathlib import Path
from typing import Literal

import click

from dilo.eval.cli.naming import Named, classifiers_option, named_checkpoints
from dilo.eval.cli.options import (
    machine_options,
    name_option,
    print_evaluation,
    require_outside,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.options import EXISTING, FOLDER, json_option, say, user_errors
from dilo.pipeline.common.extras import require, require_torch

#: What can be made of a folder and its masks, and what only the challenge has; here again, for
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


@click.command("backgrounds")
@classifiers_option(required=False)
@click.option(
    "--retrieval",
    is_flag=True,
    help="Look for photographs by their foregrounds on other backgrounds; takes --checkpoint.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="[NAME=]PATH",
    callback=named_checkpoints,
    help="For --retrieval: a checkpoint, whoever wrote it, or the folder of a run. Given again, "
    "they are compared on the same queries.",
)
@click.option(
    "--crop",
    type=click.FloatRange(0, 1, min_open=True),
    show_default="0.5",
    help="For --retrieval: least share of an image in a crop; 1 neither crops nor mirrors.",
)
@click.option(
    "--backgrounds",
    metavar="images|gray|STORE",
    callback=_background_source,
    show_default="images",
    help="For --retrieval: those of the other images, plain gray, or what `dilo-prep backgrounds` "
    "made.",
)
@click.option("--challenge", type=EXISTING, help="A release of the Backgrounds Challenge.")
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="in_to_in9.json of the challenge's code, for classifiers of 1000 classes.",
)
@click.option(
    "--images",
    type=EXISTING,
    help="Class folders, to make the variations of; any folder for --retrieval.",
)
@click.option("--masks", type=EXISTING, help="The store that dilo-prep masks made of them.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**64 - 1),
    help="Whose backgrounds are drawn.",
)
@click.option(
    "--variations",
    multiple=True,
    type=click.Choice(CHALLENGE),
    show_default="all",
    help="Which to show; may be given again.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only so many images, spread evenly.")
@click.option("--out", type=FOLDER, show_default="RUN/eval/backgrounds", help="For the results.")
@machine_options("precision", batch=64)
@name_option
@json_option
@user_errors
def command(
    classifiers: Named,
    retrieval: bool,
    checkpoints: Named,
    crop: float | None,
    backgrounds: str | None,
    challenge: Path | None,
    mapping: Path | None,
    images: Path | None,
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

    By the Backgrounds Challenge, from a folder of its release; or by the same variations made
    of any class folders (--images) and their masks (--masks): the image, its foreground alone,
    its background alone, and its foreground on backgrounds of its own class, of any, of the
    next. Writes backgrounds.json, table.txt and the sheet variations.png.

    With --retrieval, how far networks without labels do: is a photograph found among all by its
    foreground on another background, cropped anew? Writes backgrounds-retrieval.json, table.txt
    and retrieval.png.
    """
    if retrieval:
        if classifiers or challenge or mapping or variations:
            raise click.UsageError(
                "--retrieval takes --checkpoint, --images and --masks; not --classifier, "
                "--challenge, --mapping or --variations"
            )
        _retrieve(
            checkpoints,
            images,
            masks,
            crop,
            backgrounds,
            seed=seed,
            limit=limit,
            out=out,
            name=name,
            machine=machine,
            as_json=as_json,
        )
        return
    if checkpoints or crop is not None or backgrounds is not None:
        raise click.UsageError("--checkpoint, --crop and --backgrounds are for --retrieval alone")
    if not classifiers:
        raise click.UsageError("give --classifier [NAME=]PATH, or --retrieval with --checkpoint")
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
        images=images,
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
    masks: Path | None,
    crop: float | None,
    backgrounds: str | None,
    *,
    seed: int,
    limit: int | None,
    out: Path | None,
    name: str | None,
    machine: Machine,
    as_json: bool,
) -> None:
    """Look for photographs by their foregrounds on other backgrounds."""
    if not checkpoints or images is None or masks is None:
        raise click.UsageError(
            "--retrieval needs --checkpoint [NAME=]PATH, --images DIR and --masks STORE"
        )
    require_torch("dilo-eval")
    require("dilo-eval backgrounds --retrieval", ("matplotlib",), "eval")
    from dilo.eval.backgrounds.queries import QueryRecipe
    from dilo.eval.backgrounds.retrieval import TASK, Request, evaluate
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.pipeline.backgrounds.store import BackgroundStore

    folder = result_folder(TASK, out, checkpoints[0][1] if len(checkpoints) == 1 else None)
    require_outside(folder, (images, masks))
    require_ours(out, TASK)
    source: Literal["images", "gray"] | BackgroundStore
    if backgrounds is None or backgrounds == "images":
        source = "images"
    else:
        source = "gray" if backgrounds == "gray" else BackgroundStore(backgrounds)
    request = Request(
        checkpoints=checkpoints,
        images=images,
        masks=masks,
        recipe=QueryRecipe(seed=seed, crop=0.5 if crop is None else crop, backgrounds=source),
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
        raise click.UsageError("--mapping is for --challenge alone")
    if others := [name for name in variations if name not in VARIATIONS]:
        raise click.BadParameter(
            f"must be of {', '.join(VARIATIONS)} without --challenge, got {others[0]}",
            param_hint="--variations",
        )
