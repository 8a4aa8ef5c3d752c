"""`dilo-train doctor`: what would break or slow down a training here."""

from pathlib import Path

import click

from dilo.pipeline.cli.options import EXISTING, json_option, print_result, user_errors
from dilo.pipeline.cli.selection import IMAGES, IMAGES_HELP
from dilo.pipeline.compute.workercount import default_workers
from dilo.train.cli.options import accumulate_option, set_option, workers_option


@click.command()
@click.option("--images", type=IMAGES, help=IMAGES_HELP)
@click.option("--masks", type=EXISTING, help="Mask store that dilo-prep masks made of the images.")
@click.option("--recipe", "name", default="moco-v2", show_default=True, metavar="NAME")
@set_option
@workers_option
@accumulate_option
@json_option
@user_errors
def doctor(
    images: Path | None,
    masks: Path | None,
    name: str,
    overrides: tuple[str, ...],
    workers: int | None,
    parts: int,
    as_json: bool,
) -> None:
    """Check what would break or slow down a training on this machine, and what to do.

    Checks torch, GPUs and their driver, NCCL, cores, shared memory for the batches of the recipe,
    and, with --images, whether the masks belong to the images. Exits with status 1 if something
    would break.
    """
    from dilo.train.engine.doctor import Plans, examine
    from dilo.train.recipes import load_recipe

    plans = Plans(
        recipe=load_recipe(name, overrides),
        images=images,
        masks=masks,
        workers=default_workers(16) if workers is None else workers,
        parts=parts,
    )
    diagnosis = examine(plans)
    print_result(diagnosis.report_lines(), diagnosis.as_dict(), as_json=as_json)
    raise SystemExit(1 if diagnosis.count("breaks") else 0)
