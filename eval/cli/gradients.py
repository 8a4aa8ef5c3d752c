"""`dilo-eval gradients`: what a classifier looks at in images."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from dilo.eval.cli.naming import Named, classifiers_option
from dilo.eval.cli.options import (
    arch_option,
    device_option,
    say_unreadable,
    size_option,
    tell,
    worker_count,
    workers_option,
)
from dilo.eval.cli.showing import class_option, count_option, outside, seed_option, write_figure
from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    json_option,
    query_option,
    rows_of,
    say,
    user_errors,
)
from dilo.pipeline.common.extras import require_torch
from dilo.pipeline.common.printing import counted
from dilo.pipeline.common.progress import Progress

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.attribution.maps import Attribution, ClassRule
    from dilo.eval.features.folders import LabelledFolder
    from dilo.eval.gradients.map_folder import Mapped
    from dilo.eval.gradients.viewer import Viewer


@click.command("gradients")
@classifiers_option(required=True)
@click.option("--images", required=True, type=EXISTING, help="The images, at any depth.")
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
@click.option(
    "--maps",
    type=FOLDER,
    help="Write the maps of all images too, one gray PNG each, to METHOD/PATH.png in this folder.",
)
@click.option(
    "--batch",
    default=32,
    show_default=True,
    type=click.IntRange(min=1),
    help="Images at once, for --maps.",
)
@workers_option
@device_option
@size_option
@arch_option
@json_option
@click.option(
    "--out",
    type=FOLDER,
    show_default="RUN/eval/gradients of a single run",
    help="Folder for gradients.png and gradients.json.",
)
@user_errors
def command(
    classifiers: Named,
    images: Path,
    methods: "tuple[Attribution, ...]",
    which: "ClassRule",
    query: tuple[str, ...],
    count: int,
    seed: int,
    maps: Path | None,
    batch: int,
    workers: int | None,
    device: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Show which pixels a class score hangs on.

    By the gradient of the score before the softmax, through the linear classifier and the
    frozen network, its largest magnitude over the channels; and by class activation maps.
    With --maps, maps are of the whole image, squashed to a square as masks are, and read by
    `dilo-eval saliency --masks` and `dilo-prep import`; the same command goes on where it
    stopped.
    """
    started = time.monotonic()
    if maps is not None and len(classifiers) > 1:
        raise click.BadParameter(
            f"are those of one classifier, got {len(classifiers)}: give a command for each",
            param_hint="--maps",
        )
    require_torch("dilo-eval")
    from dilo.eval.common.inputs import listing
    from dilo.eval.common.results import (
        provenance,
        require_ours,
        result_folder,
        settled_folder,
        write_result,
    )
    from dilo.eval.features.folders import any_folder
    from dilo.eval.gradients.figure import gradient_figure
    from dilo.eval.gradients.viewer import Viewer, gradients_record, look
    from dilo.eval.models.classifier import load_classifier
    from dilo.train.runtime.devices import choose_device

    run = classifiers[0][1] if len(classifiers) == 1 else None
    folder = result_folder("gradients", out, run)
    outside("--out", folder, (images,))
    outside("--maps", maps or folder, (images,))
    require_ours(out, "gradients")
    wanted = list(dict.fromkeys(methods)) or ["gradient", "cam"]
    place, listed = choose_device(device), any_folder(images, say=say)
    rows = rows_of(query, listed.names, images)
    viewers = {
        name: Viewer(load_classifier(path, arch=arch, size=size).to(place), listed, which)
        for name, path in classifiers
    }
    shown, unreadable = _shown(listed, rows, count, seed)
    seen = {name: look(viewer, shown, wanted) for name, viewer in viewers.items()}
    record = gradients_record(viewers, shown, seen) | {"methods": wanted}
    if maps is not None:
        written = _written(next(iter(viewers.values())), maps, wanted, batch, workers)
        record["maps"] = {"folder": str(maps), "images": written.written + written.kept}
        unreadable = list(written.unreadable)
    say_unreadable(unreadable)
    record["inputs"] = {"images": listing(listed)}
    folder = settled_folder(folder, record, say, of_run=out is None)
    picture = folder / "gradients.png"
    write_figure(gradient_figure(listed, shown, seen), picture)
    say(f"{picture} shows {counted(len(shown), 'image')}")
    record["unreadable"] = [
        {"path": str(images / path), "reason": reason} for path, reason in unreadable
    ]
    record |= provenance(started)
    write_result(folder, record)
    tell(record, as_json=as_json)


def _shown(
    folder: "LabelledFolder", rows: list[int], count: int, seed: int
) -> tuple[list[int], list[tuple[str, str]]]:
    """Take what is asked for, or choose images that can be read; give those that cannot too."""
    from dilo.eval.gradients.viewer import readable

    if rows:
        return rows, []
    order = np.random.default_rng(seed).permutation(len(folder.names)).tolist()
    return readable(folder, order, count)


def _written(
    viewer: "Viewer",
    maps: Path,
    methods: "list[Attribution]",
    batch: int,
    workers: int | None,
) -> "Mapped":
    """Write the maps of all images, saying how far it is and what could not be read."""
    from dilo.eval.gradients.map_folder import write_maps

    with Progress(len(viewer.folder.names), "images", say) as progress:
        found = write_maps(
            viewer,
            maps,
            methods,
            batch=batch,
            workers=worker_count(workers),
            progress=progress.advance,
        )
    say(f"{maps}: maps of {counted(found.written, 'image')} written, of {found.kept} were there")
    return found
