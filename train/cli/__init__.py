"""`dilo-train`: options to a recipe and a machine, a result to words and exit status."""

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.pipeline.cli.options import EXISTING, FOLDER, json_option, say, user_errors
from dilo.pipeline.errors import DiloError

if TYPE_CHECKING:
    from dilo.train.data import Source
    from dilo.train.recipe import Recipe


@click.command()
@click.version_option(package_name="dilo", prog_name="dilo-train")
@click.option("--images", type=EXISTING, required=True, help="Folder of images, at any depth.")
@click.option("--recipe", "name", required=True, help="A shipped recipe, or FILE.toml.")
@click.option("--masks", type=EXISTING, help="Store that dilo-prep masks made of the images.")
@click.option(
    "--backgrounds",
    type=EXISTING,
    multiple=True,
    help="Store that dilo-prep backgrounds made; one for each kind that the recipe pastes on.",
)
@click.option("--out", type=FOLDER, help="Folder of the run; the same again goes on.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe: optimizer.epochs=20. May be repeated.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the network is.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "bf16", "fp16", "fp32"]),
    default="auto",
    show_default=True,
    help="auto: bf16 on a GPU that has it, else fp32.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    show_default="one a core, at most 16",
    help="Processes that decode and crop; their number changes no result.",
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="A checkpoint at least this often, besides one each epoch.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after so many minutes, with a checkpoint; the same command goes on.",
)
@click.option(
    "--log-every",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="A line of metrics.jsonl every so many steps.",
)
@click.option(
    "--preview",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only draw FILE.png: of 8 images, the mask and both views as the network would see them.",
)
@click.option(
    "--pastes",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only draw FILE.png: 8 images on gray and on each of --backgrounds, with and without "
    "blend.",
)
@json_option
@user_errors
def main(
    images: Path,
    name: str,
    masks: Path | None,
    backgrounds: tuple[Path, ...],
    out: Path | None,
    overrides: tuple[str, ...],
    device: str,
    precision: str,
    workers: int | None,
    checkpoint_minutes: float,
    max_minutes: float | None,
    log_every: int,
    preview: Path | None,
    pastes: Path | None,
    as_json: bool,
) -> None:
    """Pretrain a network on a folder of images by a recipe, with their masks for copy-paste.

    Stop it as you like: the same command goes on from the last checkpoint, and takes the
    very steps that it would have taken. RUN/checkpoints holds the newest two and the
    network before training; RUN/metrics.jsonl the losses; RUN/recipe.toml every setting.

    \b
    Exit status:
      0  done, or --max-minutes are over
      2  the command line is wrong
      3  could not go on; the message says why and what to do
    """
    from dilo.train.backgrounds import open_backgrounds, require_drawn
    from dilo.train.devices import choose_device, choose_precision
    from dilo.train.loop import train
    from dilo.train.machine import Machine
    from dilo.train.pastedraw import GRAY, KINDS
    from dilo.train.preview import paste_sheet, view_sheet
    from dilo.train.recipes import load_recipe

    recipe = load_recipe(name, overrides)
    stores = open_backgrounds(backgrounds)
    source = _source(images, masks, recipe, name)
    if pastes is not None:
        paste_sheet(source, recipe, stores).save(pastes, format="PNG")
        say(f"{pastes}: image, mask, and pastes on {', '.join(KINDS[k] for k in (GRAY, *stores))}")
        return
    require_drawn(stores, recipe, name)
    if preview is not None:
        view_sheet(source, recipe, stores).save(preview, format="PNG")
        say(f"{preview}: image, mask, and both views of epoch 0")
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    target = choose_device(device)
    machine = Machine(
        device=target,
        workers=min(os.cpu_count() or 1, 16) if workers is None else workers,
        precision=choose_precision(precision, target),
        checkpoint_minutes=checkpoint_minutes,
        log_every=log_every,
        max_minutes=max_minutes or math.inf,
    )
    result = train(recipe, source, out, machine, say, backgrounds=stores)
    say(f"step {result.step} of {result.steps}: {result.checkpoint}")
    if result.unreadable:
        say(f"{result.unreadable} samples were replaced: their images could not be read")
    if as_json:
        loss = result.loss if math.isfinite(result.loss) else None
        click.echo(
            json.dumps(
                {
                    "checkpoint": str(result.checkpoint),
                    "step": result.step,
                    "steps": result.steps,
                    "loss": loss,
                    "unreadable": result.unreadable,
                }
            )
        )


def _source(images: Path, masks: Path | None, recipe: "Recipe", name: str) -> "Source":
    """Find images and masks, and say how many serve."""
    from dilo.train.data import find_source

    if recipe.paste.probability and masks is None:
        raise DiloError(
            f"recipe {name} pastes with probability {recipe.paste.probability:g} and needs "
            f"--masks DIR, got none: make it with dilo-prep masks, or train the method alone "
            f"with --set paste.probability=0"
        )
    source = find_source(images, masks, recipe.paste.min_coverage)
    left_out, never = len(source.names) - len(source.usable), source.never_pasted
    bound = recipe.paste.min_coverage
    say(
        f"{len(source.usable)} images"
        + (f", {left_out} left out because they cannot be read" if left_out else "")
        + (f", {never} never pasted because their mask covers under {bound:g}" if never else "")
    )
    return source
