"""`dilo-eval backgrounds`: how far classifiers rely on backgrounds."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.eval.cli.naming import Named, classifiers_option
from dilo.eval.cli.options import (
    arch_option,
    device_option,
    say_left_out,
    size_option,
    tell,
    worker_count,
    workers_option,
)
from dilo.pipeline.cli.options import EXISTING, FOLDER, json_option, say, user_errors
from dilo.pipeline.common.extras import require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.backgrounds.evaluation import Evaluation, Request

#: What can be made of a folder and its masks, and what only the challenge has; here again, for
#: --help imports no torch.
VARIATIONS = ("original", "only_fg", "no_fg", "mixed_same", "mixed_rand", "mixed_next")
CHALLENGE = (*VARIATIONS, "only_bg_b", "only_bg_t")
ONLY_CHALLENGE = {"mapping": "--mapping", "colours": "--colours", "attack": "--challenge-accuracy"}


@click.command("backgrounds")
@classifiers_option(required=True)
@click.option("--challenge", type=EXISTING, help="A release of the Backgrounds Challenge.")
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="in_to_in9.json of the challenge's code, for classifiers of 1000 classes.",
)
@click.option(
    "--colours",
    type=click.Choice(["training", "in9"]),
    show_default="in9 for 9 classes in a file that is not dilo's, else training",
    help="Whose mean and deviation standardise the challenge's images.",
)
@click.option(
    "--challenge-accuracy",
    "attack",
    is_flag=True,
    help="Also paste each foreground of the challenge on each of its backgrounds: long.",
)
@click.option("--images", type=EXISTING, help="Class folders, to make the variations of.")
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
@click.option(
    "--batch", default=64, show_default=True, type=click.IntRange(min=1), help="Images at once."
)
@workers_option
@device_option
@size_option
@arch_option
@json_option
@user_errors
def command(
    classifiers: Named,
    challenge: Path | None,
    images: Path | None,
    masks: Path | None,
    seed: int,
    variations: tuple[str, ...],
    limit: int | None,
    out: Path | None,
    batch: int,
    workers: int | None,
    device: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
    **only_challenge: Any,
) -> None:
    """Measure how far classifiers rely on backgrounds.

    By the Backgrounds Challenge, from a folder of its release; or by the same variations made
    of any class folders (--images) and their masks (--masks): the image, its foreground alone,
    its background alone, and its foreground on backgrounds of its own class, of any, of the
    next. Writes backgrounds.json, table.txt and the sheet variations.png.
    """
    _demand_one_source(challenge, images, masks, variations, only_challenge)
    require_torch("dilo-eval")
    from dilo.eval.backgrounds.classify import Running
    from dilo.eval.backgrounds.evaluation import Request
    from dilo.eval.common.results import require_ours, result_folder
    from dilo.eval.models.classifier import load_classifier
    from dilo.train.runtime.devices import choose_device

    started = time.monotonic()
    folder = result_folder("backgrounds", out, classifiers[0][1] if len(classifiers) == 1 else None)
    _demand_outside(folder, challenge, images, masks)
    require_ours(out, "backgrounds")
    request = Request(
        classifiers=[(name, load_classifier(c, arch=arch, size=size)) for name, c in classifiers],
        variations=variations,
        limit=limit,
        running=Running(batch=batch, workers=worker_count(workers), device=choose_device(device)),
    )
    if challenge is not None:
        evaluation = _of_challenge(request, challenge, size, only_challenge)
    elif images is not None and masks is not None:
        from dilo.eval.backgrounds.evaluation import evaluate_folder

        evaluation = evaluate_folder(request, images, masks, seed=seed, say=say)
    _written(evaluation, folder, started, of_run=out is None, as_json=as_json)


def _of_challenge(
    request: "Request", challenge: Path, size: int | None, options: dict[str, Any]
) -> "Evaluation":
    """Judge by the challenge."""
    from dilo.eval.backgrounds.evaluation import ChallengeOptions, evaluate_challenge

    return evaluate_challenge(request, challenge, ChallengeOptions(size=size, **options), say=say)


def _written(
    evaluation: "Evaluation", folder: Path, started: float, *, of_run: bool, as_json: bool
) -> None:
    """Write record, table and sheet, and say what is in them."""
    from dilo.eval.backgrounds.metrics import heading, table
    from dilo.eval.common.results import provenance, settled_folder, write_result
    from dilo.pipeline.common.files import atomic_write, write_text

    record = evaluation.record | provenance(started)
    lines = [heading(record), *table(record)]
    folder = settled_folder(folder, record, say, of_run=of_run)
    write_text(folder / "table.txt", "\n".join(lines) + "\n")
    with atomic_write(folder / "variations.png") as part:
        evaluation.sheet.save(part, format="PNG")
    write_result(folder, record)  # last: it says that the others are there
    failures = [(failure["path"], failure["reason"]) for failure in record["failures"]]
    say_left_out(failures, "images could not be shown", "backgrounds.json")
    for line in lines:
        say(line)
    say(f"{folder}: backgrounds.json has all numbers, variations.png shows some pictures")
    tell(record, as_json=as_json)


def _demand_one_source(
    challenge: Path | None,
    images: Path | None,
    masks: Path | None,
    variations: tuple[str, ...],
    only_challenge: dict[str, Any],
) -> None:
    """Refuse what does not make either the challenge or a folder with masks."""
    if challenge is not None and (images is not None or masks is not None):
        raise click.UsageError("--challenge brings its own images: leave out --images and --masks")
    if challenge is not None:
        return
    if images is None or masks is None:
        raise click.UsageError("give --challenge DIR, or both --images DIR and --masks STORE")
    if given := [option for name, option in ONLY_CHALLENGE.items() if only_challenge[name]]:
        raise click.UsageError(f"{given[0]} is for --challenge alone")
    if others := [name for name in variations if name not in VARIATIONS]:
        raise click.BadParameter(
            f"must be of {', '.join(VARIATIONS)} without --challenge, got {others[0]}",
            param_hint="--variations",
        )


def _demand_outside(folder: Path, *sources: Path | None) -> None:
    """Refuse to write among what is read: a later run would take it for more of that."""
    for read in filter(None, sources):
        if folder.resolve().is_relative_to(read.resolve()):
            raise click.BadParameter(
                f"must be outside the folders that are read, got {folder} in {read}",
                param_hint="--out",
            )
