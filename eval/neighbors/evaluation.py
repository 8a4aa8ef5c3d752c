"""The whole of `dilo-eval neighbors`: features, neighbours, pictures of some of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dilo.eval.attribution.maps import ClassRule
from dilo.eval.common.inputs import data_name, listing
from dilo.eval.common.machine import Machine
from dilo.eval.common.panels import write_figure
from dilo.eval.common.results import (
    Evaluation,
    Say,
    provenance,
    settled_file,
    settled_folder,
    write_record,
)
from dilo.eval.common.tables import text_table
from dilo.eval.features.features import Features
from dilo.eval.features.file import open_features
from dilo.eval.features.folders import LabelledFolder, any_folder, labelled_folder
from dilo.eval.features.loading import Loader, require_whole
from dilo.eval.gradients.explainer import Explainer, explain_images
from dilo.eval.models.classifier import load_classifier
from dilo.eval.models.encoder import Layer, load_encoder
from dilo.eval.neighbors.comparison import Pick, compare
from dilo.eval.neighbors.figure import neighbor_figure
from dilo.eval.neighbors.search import candidate_count
from dilo.pipeline.common.printing import counted
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import find_rows
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import holds_images

#: The picture in a folder of results.
PICTURE = "neighbors.png"
#: What a picture that a user names may be, by its suffix.
PICTURES = (".png", ".pdf")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to look for, and where to put it."""

    #: Name and file, or run, of each checkpoint; names differ.
    checkpoints: Sequence[tuple[str, Path]]
    #: The images to look among: a folder, or some of its images, or a file of features.
    images: Path | ImageSelection
    #: The images to look for, likewise; None for those of `images`.
    queries: Path | ImageSelection | None
    #: Neighbours of each.
    k: int
    #: Which queries to show; None for any.
    pick: Pick | None
    #: Paths of the queries to show; none for `count` of them, drawn at random with `seed`.
    query: Sequence[str]
    count: int
    seed: int
    #: What features are.
    layer: Layer
    #: Classifiers, by the names of checkpoints, whose gradients are shown beside the queries.
    classifiers: Sequence[tuple[str, Path]]
    #: Of which class; None takes the true one where the classifier knows it.
    rule: ClassRule | None
    machine: Machine
    #: Folder of the results, or a picture; its record lies beside it.
    out: Path
    #: Whether nobody named it, and it is in the folder of a run.
    of_run: bool = False
    #: What to call the result; None for the name of the queries' folder.
    name: str | None = None


def evaluate(request: Request, say: Say) -> Evaluation:
    """Find the images most similar to each query, and write a record and a figure of some."""
    started = time.monotonic()
    device, _ = request.machine.choose()
    loaded: dict[LabelledFolder, Features] = {}
    bank, others = _folders(request, loaded, say)
    queries = others or bank
    candidate_count(bank, request.k, itself=others is None)  # now, not after an hour of reading
    find_rows(request.query, queries.names, queries.root)
    explainers = _explainers(request, queries, device)
    encoders = {
        name: load_encoder(
            path, arch=request.machine.arch, size=request.machine.size, layer=request.layer
        )
        for name, path in request.checkpoints
    }
    loader = Loader(request.machine, say)
    comparison = compare(
        encoders,
        bank,
        others,
        k=request.k,
        extract=lambda encoder, folder: loader.load(encoder, loaded.get(folder, folder)),
        device=device,
    )
    rows = find_rows(request.query, comparison.queries.names, comparison.queries.root)
    rows = rows or comparison.select_queries(
        request.pick or "random", count=request.count, seed=request.seed
    )
    places = [queries.names.index(comparison.queries.names[row]) for row in rows]
    explanations = {
        name: explain_images(explainer, places, ["gradient"])
        for name, explainer in explainers.items()
    }
    record = {
        **comparison.record(rows),
        "pick": request.pick or ("query" if request.query else "random"),
        "layer": request.layer,
        "class": request.rule,
        "gradients": list(explainers),
        "inputs": {"images": listing(bank), "queries": listing(queries)},
        **provenance(started),
    }
    record["name"] = request.name or data_name(record["inputs"])
    picture, record_file = _places(request, record, say)
    write_figure(neighbor_figure(comparison, rows, explanations), picture)
    write_record(record_file, record)  # last: it says that the picture is there
    say(
        f"{picture} shows {counted(len(rows), 'query', 'queries')}, {record_file.name} lists their "
        "neighbours"
    )
    return Evaluation(record, precision_table(record))


def is_picture(out: Path) -> bool:
    """Tell whether a user names a file for the picture, not a folder for it and the record."""
    return out.suffix.lower() in PICTURES


def _places(request: Request, record: Mapping[str, Any], say: Say) -> tuple[Path, Path]:
    """Choose where picture and record go, such that they replace none of other images."""
    if is_picture(request.out):
        record_file = settled_file(request.out.with_suffix(".json"), record, say)
        return record_file.with_suffix(request.out.suffix), record_file
    picture = settled_folder(request.out, record, say, of_run=request.of_run) / PICTURE
    return picture, picture.with_suffix(".json")


def _folders(
    request: Request, loaded: dict[LabelledFolder, Features], say: Say
) -> tuple[LabelledFolder, LabelledFolder | None]:
    """List the images, and the queries if they are others, numbered by the images' classes.

    Features that lie in files are put into `loaded`.
    """
    bank, queries = _listed(request.images, loaded, say), None
    if request.queries is not None and not _is_same(request.queries, request.images):
        queries = _listed(request.queries, loaded, say)
        if bank.classes and queries.classes:
            queries = _listed(request.queries, loaded, say, bank)
    for folder in (bank, queries):
        if folder is not None and not folder.classes and request.pick not in (None, "random"):
            raise DiloError(
                f"--pick {request.pick} needs images in class folders, got {folder.root} with "
                "images outside any: give --pick random"
            )
    return bank, queries


def _is_same(queries: Path | ImageSelection, images: Path | ImageSelection) -> bool:
    """Check whether the queries are the very images that are looked among."""
    first, second = ImageSelection.of(queries), ImageSelection.of(images)
    return first.root.resolve() == second.root.resolve() and first.options() == second.options()


def _listed(
    images: Path | ImageSelection,
    loaded: dict[LabelledFolder, Features],
    say: Say,
    bank: LabelledFolder | None = None,
) -> LabelledFolder:
    """List the images of a folder, or those that a file has features of; by a bank's classes."""
    selection = ImageSelection.of(images)
    if holds_images(selection.root):
        if bank is None:
            return any_folder(selection, say=say)
        skip_others = bank.is_narrowed
        return labelled_folder(
            selection,
            classes=bank.classes,
            skip_others=skip_others,
            say=say if skip_others else None,
        )
    require_whole(selection)
    features = open_features(selection.root)
    features = features if bank is None else features.with_classes(bank.classes)
    folder = LabelledFolder(
        features.root, features.paths, features.labels, features.classes, features.options
    )
    loaded[folder] = features
    return folder


def _explainers(
    request: Request, queries: LabelledFolder, device: torch.device
) -> dict[str, Explainer]:
    """Read the classifiers whose gradients are to be shown."""
    return {
        name: Explainer(
            load_classifier(path, size=request.machine.size).to(device), queries, request.rule
        )
        for name, path in request.classifiers
    }


def precision_table(record: Mapping[str, Any]) -> list[str]:
    """Say how often neighbours are of the query's class; nothing without classes."""
    if record["chance"] is None:
        return []
    head = ["checkpoint", f"precision@{record['k']}", f"kNN (k = {record['vote']['k']})"]
    rows = [
        [one["name"], f"{one['precision']:.1f} %", f"{one['accuracy']:.1f} %"]
        for one in record["checkpoints"]
    ]
    rows.append(["chance", f"{record['chance']:.1f} %", ""])
    return [
        f"{record['query_images']['count']} queries against {record['images']['count']} images, "
        f"{record['classes']} classes",
        *text_table(head, rows),
    ]
