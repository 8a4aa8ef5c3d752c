"""`dilo-eval neighbors`: queries and the images that checkpoints find most similar to them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.eval.cli.naming import Named, named_checkpoints
from dilo.eval.cli.options import (
    IMAGES_OR_FEATURES,
    arch_option,
    batch_option,
    class_option,
    count_option,
    device_option,
    output_option,
    require_outside,
    seed_option,
    size_option,
    tell,
    worker_count,
    workers_option,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.options import json_option, query_option, say, user_errors
from dilo.pipeline.common.extras import require, require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.attribution.maps import ClassRule
    from dilo.eval.features.features import Features
    from dilo.eval.features.folders import LabelledFolder
    from dilo.eval.gradients.explainer import Explainer
    from dilo.eval.models.encoder import Output
    from dilo.eval.neighbors.comparison import Pick

#: The picture in a folder of results.
PICTURE = "neighbors.png"


@click.command("neighbors")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    required=True,
    metavar="[NAME=]PATH",
    callback=named_checkpoints,
    help="A checkpoint, whoever wrote it, or the folder of a run; given again, they stand side "
    "by side.",
)
@click.option(
    "--images",
    required=True,
    type=IMAGES_OR_FEATURES,
    help="The images to look among; of one checkpoint, a file of `dilo-eval features` will do.",
)
@click.option(
    "--queries",
    "asked_of",
    type=IMAGES_OR_FEATURES,
    show_default="--images, an image itself left out",
    help="The images to look for, likewise.",
)
@click.option(
    "--k", default=3, show_default=True, type=click.IntRange(min=1), help="Neighbours to show."
)
@click.option(
    "--pick",
    type=click.Choice(["random", "successes", "failures"]),
    show_default="random",
    help="Queries to show: any; those where the first checkpoint is right and the second wrong; "
    "or the other way round. Right is the vote of the 20 nearest images.",
)
@query_option
@count_option
@seed_option
@output_option
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    metavar="[NAME=]PATH",
    callback=named_checkpoints,
    help="What `dilo-eval linear` made of a checkpoint: adds the gradient of the query's score; "
    "NAME is the checkpoint's.",
)
@class_option
@batch_option
@workers_option
@device_option
@size_option
@arch_option
@json_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="RUN/eval/neighbors of a single run",
    help="Folder for neighbors.png and neighbors.json, or FILE.png.",
)
@user_errors
def command(
    checkpoints: Named,
    images: Path,
    asked_of: Path | None,
    k: int,
    pick: "Pick | None",
    query: tuple[str, ...],
    count: int,
    seed: int,
    output: "Output | None",
    classifiers: Named,
    rule: "ClassRule | None",
    batch: int,
    workers: int | None,
    device: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Show queries beside the images that a checkpoint finds most similar.

    Similar is the cosine of features. Where the images lie in class folders, a neighbour
    of the query's class has a green frame and a tick, another a red one and a cross, and the
    share of neighbours that are of the query's class is told over all queries: precision@k.
    """
    started = time.monotonic()
    _check(checkpoints, classifiers, pick, query)
    require_torch("dilo-eval")
    require("dilo-eval neighbors", ("matplotlib",), "eval")
    from dilo.eval.common.inputs import listing
    from dilo.eval.common.panels import write_figure
    from dilo.eval.common.results import provenance, require_ours, settled_file, settled_folder
    from dilo.eval.features.loading import Loader
    from dilo.eval.gradients.explainer import explain_images
    from dilo.eval.models.encoder import load_encoder
    from dilo.eval.neighbors.comparison import compare
    from dilo.eval.neighbors.figure import neighbor_figure
    from dilo.eval.neighbors.search import others_of
    from dilo.pipeline.images.names import find_rows
    from dilo.train.runtime.devices import choose_device

    run = checkpoints[0][1] if len(checkpoints) == 1 else None
    picture = _picture(out, run)
    require_outside(picture, (path for path in (images, asked_of) if path and path.is_dir()))
    require_ours(None if _is_picture(out) else out, "neighbors")
    place = choose_device(device)
    read: dict[LabelledFolder, Features] = {}
    bank, asked = _folders(images, asked_of, pick, read)
    listed = asked or bank
    others_of(bank, k, itself=asked is None)  # now, not after an hour of reading
    find_rows(query, listed.names, listed.root)
    viewers = _viewers(classifiers, listed, rule, place, size)
    encoders = {
        name: load_encoder(path, arch=arch, size=size, output=output or "pooled")
        for name, path in checkpoints
    }
    loader = Loader(Machine(device=device, batch=batch, workers=worker_count(workers)), say)
    comparison = compare(
        encoders,
        bank,
        asked,
        k=k,
        extract=lambda encoder, folder: loader.load(encoder, read.get(folder, folder)),
        device=place,
    )
    shown = find_rows(query, comparison.queries.names, comparison.queries.root)
    shown = shown or comparison.picked(pick or "random", count=count, seed=seed)
    rows = [listed.names.index(comparison.queries.names[row]) for row in shown]
    seen = {name: explain_images(viewer, rows, ["gradient"]) for name, viewer in viewers.items()}
    record = comparison.record(shown) | {"pick": pick or ("query" if query else "random")}
    record |= {"output": output or "pooled", "class": rule, "gradients": list(viewers)}
    record["inputs"] = {"images": listing(bank), "queries": listing(listed)}
    record |= provenance(started)
    if _is_picture(out):
        record_file = settled_file(picture.with_suffix(".json"), record, say)
        picture = record_file.with_suffix(picture.suffix)
    else:
        picture = settled_folder(picture.parent, record, say, of_run=out is None) / PICTURE
        record_file = picture.with_suffix(".json")
    write_figure(neighbor_figure(comparison, shown, seen), picture)
    tell(record, as_json=as_json, out=record_file)
    for line in _table(record):
        say(line)
    say(f"{picture} shows {len(shown)} queries, {record_file.name} lists their neighbours")


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


def _is_picture(out: Path | None) -> bool:
    """Tell whether the user names a file for the picture, not a folder for it and the record."""
    return out is not None and out.suffix.lower() == ".png"


def _picture(out: Path | None, run: Path | None) -> Path:
    """Name the picture, which a record lies beside; refuse a place that holds something else."""
    from dilo.eval.common.results import require_record, result_folder

    if out is None or not _is_picture(out):
        return result_folder("neighbors", out, run) / PICTURE
    record = out.with_suffix(".json")
    require_record("--out", record, "neighbors")
    if out.exists() and not record.exists():
        raise click.BadParameter(
            f"must be a new file, or a picture with its record {record.name}, got {out}, which "
            "would be lost: give another name",
            param_hint="--out",
        )
    return out


def _folders(
    images: Path, asked_of: Path | None, pick: str | None, read: "dict[LabelledFolder, Features]"
) -> "tuple[LabelledFolder, LabelledFolder | None]":
    """List the images, and the queries if they are others, numbered by the images' classes.

    Features that lie in files are put into `read`.
    """
    bank, asked = _listed(images, read), None
    if asked_of is not None and not asked_of.samefile(images):
        asked = _listed(asked_of, read)
        if bank.classes and asked.classes:
            asked = _listed(asked_of, read, bank.classes)
    for folder in (bank, asked):
        if folder is not None and not folder.classes and pick not in (None, "random"):
            raise click.BadParameter(
                f"{pick} needs images in class folders, got {folder.root} with images outside any",
                param_hint="--pick",
            )
    return bank, asked


def _listed(
    path: Path, read: "dict[LabelledFolder, Features]", classes: tuple[str, ...] | None = None
) -> "LabelledFolder":
    """List the images of a folder, or those that a file has features of."""
    from dilo.eval.features.file import open_features
    from dilo.eval.features.folders import LabelledFolder, any_folder, labelled_folder

    if path.is_dir():
        return (
            any_folder(path, say=say) if classes is None else labelled_folder(path, classes=classes)
        )
    found = open_features(path)
    found = found if classes is None else found.with_classes(classes)
    folder = LabelledFolder(found.root, found.paths, found.labels, found.classes)
    read[folder] = found
    return folder


def _viewers(
    classifiers: Named,
    queries: "LabelledFolder",
    rule: "ClassRule | None",
    device: "torch.device",
    size: int | None,
) -> "dict[str, Explainer]":
    """Read the classifiers whose gradients are to be shown."""
    from dilo.eval.gradients.explainer import Explainer
    from dilo.eval.models.classifier import load_classifier

    return {
        name: Explainer(load_classifier(path, size=size).to(device), queries, rule)
        for name, path in classifiers
    }


def _table(record: dict[str, Any]) -> list[str]:
    """Say how often neighbours are of the query's class."""
    if record["chance"] is None:
        return []
    width = max(len(one["name"]) for one in record["checkpoints"])
    k, count = record["k"], record["asked"]["count"]
    return [
        f"{count} queries against {record['images']['count']} images, {record['classes']} classes",
        f"{'':{width}}  precision@{k}  right by the vote of {record['vote']['k']}",
        *(
            f"{one['name']:{width}}  {one['precision']:>{len(str(k)) + 8}.1f} %"
            f"  {one['accuracy']:.1f} %"
            for one in record["checkpoints"]
        ),
        f"{'chance':{width}}  {record['chance']:>{len(str(k)) + 8}.1f} %",
    ]
