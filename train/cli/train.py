"""What `dilo-train` does without a subcommand: from its options to a run and its exit status."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.pipeline.cli.options import print_result, say
from dilo.pipeline.common.printing import printable
from dilo.pipeline.compute.workercount import default_workers
from dilo.pipeline.errors import DiloError
from dilo.train.cli.options import (
    Action,
    Computing,
    DataOptions,
    Keeping,
    Watching,
    required,
)
from dilo.train.runtime.launch import is_first, launched_ranks, quiet
from dilo.train.runtime.signals import PREEMPTED

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.pipeline.images.selection import ImageSelection
    from dilo.train.augment.backgrounds import Stores
    from dilo.train.data.images import ImageSet
    from dilo.train.engine.trainer import Result
    from dilo.train.recipes.recipe import Recipe, RunRecipe
    from dilo.train.runtime.options import RunOptions


def run(
    data: DataOptions,
    computing: Computing,
    keeping: Keeping,
    watching: Watching,
    action: Action,
    *,
    as_json: bool,
) -> int:
    """Train, or do the action asked for instead; return the exit status."""
    from dilo.train.recipes import load_recipe

    if action.print_recipe:
        name = required(data.name, "--recipe")
        show_recipe(load_recipe(name, data.overrides), name, data.overrides, as_json=as_json)
        return 0
    images, name = data.selection(), required(data.name, "--recipe")
    if watching.knn_test and not watching.knn_every:
        raise click.UsageError("--knn-test needs --knn-every K.")
    first = is_first()
    log = say if first else quiet
    _require_one_process(action, first=first)
    recipe = load_recipe(name, data.overrides)
    if action.preview is not None or action.pastes is not None:
        _draw(action, images, data, recipe, log, as_json=as_json)
        return 0
    from dilo.train.augment.backgrounds import open_backgrounds, require_drawn

    machine = run_options(computing, keeping, watching, log)
    stores = open_backgrounds(data.backgrounds)
    source = _source(images, data.masks, recipe, name, log)
    require_drawn(stores, recipe.paste, name)
    if action.bench:
        _bench(recipe, source, machine, stores, log, as_json=as_json)
        return 0
    from dilo.train.engine.pretrain import train

    out = required(data.out, "--out")
    result = train(recipe, source, out, machine, log, backgrounds=stores, init=data.init)
    return report(result, log, as_json=as_json)


def _require_one_process(action: Action, *, first: bool) -> None:
    """Refuse what measures or draws where several processes were started to train together."""
    actions = {"--bench": action.bench, "--preview": action.preview, "--pastes": action.pastes}
    for option, value in actions.items():
        if value and launched_ranks() > 1:
            if not first:  # the first says it
                raise click.exceptions.Exit(2)
            raise click.UsageError(
                f"{option} is for one process, got {launched_ranks()} (WORLD_SIZE): "
                "give it without torchrun."
            )


def show_recipe(recipe: "RunRecipe", name: str, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print a recipe on standard output, as TOML that --recipe takes and people can read."""
    from dilo.train.recipes import recipe_text

    if not is_first():
        return
    origin = name + (f" with {', '.join(overrides)}" if overrides else "")
    lines = [
        # In one line, whatever is in it: the rest of the words would be taken for TOML.
        f"# {' '.join(printable(origin).split())}: every value, and what it means",
        "# Change what you like, and give the file to --recipe.",
        *recipe_text(recipe, comments=True).splitlines(),
    ]
    print_result(lines, dataclasses.asdict(recipe), as_json=as_json)


def _draw(
    action: Action,
    images: "ImageSelection",
    data: DataOptions,
    recipe: "Recipe",
    log: Callable[[str], None],
    *,
    as_json: bool,
) -> None:
    """Draw a sheet of views or of pastes."""
    from dilo.train.augment.backgrounds import open_backgrounds, require_drawn
    from dilo.train.augment.preview import paste_sheet, view_sheet
    from dilo.train.data.draws import GRAY, KINDS

    name = required(data.name, "--recipe")
    stores = open_backgrounds(data.backgrounds)
    source = _source(images, data.masks, recipe, name, log)
    if action.pastes is not None:
        paste_sheet(source, recipe, stores).save(action.pastes, format="PNG")
        kinds = ", ".join(KINDS[kind] for kind in (GRAY, *stores))
        words = f"{action.pastes}: image, mask, and pastes on {kinds}"
        print_result([words], {"pastes": str(action.pastes)}, as_json=as_json)
    elif action.preview is not None:
        require_drawn(stores, recipe.paste, name)
        view_sheet(source, recipe, stores).save(action.preview, format="PNG")
        swap = ", with the swap of the first" if recipe.moco.swap_negatives else ""
        epoch = recipe.paste.from_epoch
        words = f"{action.preview}: image, mask, and both views of epoch {epoch}{swap}"
        print_result([words], {"preview": str(action.preview)}, as_json=as_json)


def run_options(
    computing: Computing, keeping: Keeping, watching: Watching, log: Callable[[str], None]
) -> "RunOptions":
    """Choose the device and say which it is; gather the options of a run."""
    from dilo.train.runtime import devices
    from dilo.train.runtime.distributed import local_device
    from dilo.train.runtime.options import RunOptions

    device = local_device(devices.choose_device(computing.device))
    precision = devices.choose_precision(computing.precision, device)
    log(devices.describe_device(device, precision, launched_ranks()))
    return RunOptions(
        device=device,
        workers=default_workers(16) if computing.workers is None else computing.workers,
        precision=precision,
        deterministic=computing.deterministic,
        compile=computing.compile,
        accumulate=computing.parts,
        resume=keeping.resume,
        checkpoint_minutes=keeping.checkpoint_minutes,
        keep_every=keeping.keep_every,
        max_minutes=keeping.max_minutes or math.inf,
        log_every=watching.log_every,
        tensorboard=watching.tensorboard,
        knn_every=watching.knn_every,
        knn_test=watching.knn_test,
    )


def _bench(
    recipe: "Recipe",
    source: "ImageSet",
    machine: "RunOptions",
    stores: "Stores",
    log: Callable[[str], None],
    *,
    as_json: bool,
) -> None:
    """Measure the speed of training, and print the table."""
    from dilo.train.engine.bench import bench, bench_table

    result = bench(recipe, source, machine, stores, log)
    if is_first():
        print_result(bench_table(result), result, as_json=as_json)


def report(result: "Result", log: Callable[[str], None], *, as_json: bool) -> int:
    """Print how a run ended, and return the exit status."""
    if result.unreadable:
        log(f"{result.unreadable} samples were replaced: their images could not be read")
    if result.signal:
        log(f"interrupted by {result.signal}; a checkpoint is written: the same command resumes")
    record = {
        "checkpoint": str(result.checkpoint),
        "step": result.step,
        "steps": result.steps,
        "loss": result.loss if math.isfinite(result.loss) else None,
        "unreadable": result.unreadable,
        "preempted": bool(result.signal),
        "signal": result.signal,
    }
    if is_first():
        line = f"step {result.step} of {result.steps}: {result.checkpoint}"
        print_result([line], record, as_json=as_json)
    return PREEMPTED if result.signal else 0


def _source(
    images: "ImageSelection",
    masks: Path | None,
    recipe: "Recipe",
    name: str,
    log: Callable[[str], None],
) -> "ImageSet":
    """Find images and masks, and log how many are used."""
    from dilo.train.data.images import find_image_set

    if masks is None:
        require_no_masks(recipe, name)
    source = find_image_set(images, masks, recipe.paste.min_coverage, say=log)
    skipped, never_pasted = source.unreadable, source.never_pasted
    bound = recipe.paste.min_coverage
    log(
        source.share()
        + (f", {skipped} skipped because they cannot be read" if skipped else "")
        + (
            f", {never_pasted} never pasted because their mask covers under {bound:g}"
            if never_pasted
            else ""
        )
    )
    usable = len(source.indices)
    for line in (
        *_paste_warnings(recipe, usable - never_pasted),
        *_negatives_warnings(recipe, usable),
    ):
        log(line)
    return source


def require_no_masks(recipe: "Recipe", name: str) -> None:
    """Refuse a recipe that uses masks where none are given."""
    from dilo.train.recipes.recipe import uses_of_masks

    if uses := uses_of_masks(recipe):
        raise DiloError(
            f"recipe {name} {' and '.join(uses)} and needs --masks DIR, got none: make it with "
            f"dilo-prep masks, or train without by --set {' --set '.join(uses.values())}"
        )


def _paste_warnings(recipe: "Recipe", images: int) -> list[str]:
    """Warn of pastes that never happen, for no image has a mask that covers enough."""
    if images or not recipe.paste.probability:
        return []
    return [
        f"warning: paste.probability = {recipe.paste.probability:g}, but no mask covers "
        f"{recipe.paste.min_coverage:g} of its image, so that nothing is pasted: look at the masks "
        "with dilo-prep preview"
    ]


def _negatives_warnings(recipe: "Recipe", images: int) -> list[str]:
    """Warn of negatives that are more than the images, so that some are of the sample itself."""
    negatives = {
        "moco": ("moco.queue", recipe.moco.queue),
        "instdisc": ("memory.negatives", recipe.memory.negatives),
        "cmc": ("memory.negatives", recipe.memory.negatives),
    }
    key, count = negatives.get(recipe.method, ("", 0))
    if count <= images:
        return []
    return [
        f"warning: {key} = {count} is more than the {images} images, so that some negatives of an "
        f"image are views of itself: give --set {key}={images} or less"
    ]
