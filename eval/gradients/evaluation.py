"""The whole of `dilo-eval gradients`: choose images, map scores, draw, write."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dilo.eval.attribution.maps import Attribution, ClassRule
from dilo.eval.common.inputs import data_name, listing
from dilo.eval.common.machine import Machine
from dilo.eval.common.panels import write_figure
from dilo.eval.common.results import (
    Evaluation,
    Say,
    provenance,
    record_head,
    say_skipped,
    settled_folder,
    skipped_images,
    write_result,
)
from dilo.eval.features.folders import LabelledFolder, any_folder
from dilo.eval.gradients.explainer import Explainer, Explanation, explain_images
from dilo.eval.gradients.figure import gradient_figure
from dilo.eval.models.classifier import load_classifier
from dilo.pipeline.common.printing import counted
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.names import escaped, find_rows
from dilo.pipeline.images.selection import ImageSelection


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to show, and where to put it."""

    #: Name and file, or run, of each classifier; names differ.
    classifiers: Sequence[tuple[str, Path]]
    #: The images: a folder, or some of its images.
    images: Path | ImageSelection
    #: Which maps to make.
    methods: Sequence[Attribution]
    #: Of which class; None takes the true one where the classifier knows it.
    rule: ClassRule | None
    #: Paths of the images to show; none for some drawn at random.
    query: Sequence[str] = ()
    #: How many to draw.
    count: int
    #: Which ones.
    seed: int
    #: Folder of the results; made if it is missing.
    out: Path
    #: Whether nobody named it, and it is in the folder of a run.
    of_run: bool = False
    #: What to call the result; None for the name of the images' folder.
    name: str | None = None
    machine: Machine


def evaluate(request: Request, say: Say) -> Evaluation:
    """Map the scores of some images, and write a figure and a record."""
    started = time.monotonic()
    (device, _), folder = request.machine.choose(), any_folder(request.images, say=say)
    rows = find_rows(request.query, folder.names, folder.root)
    explainers = {}
    for name, path in request.classifiers:
        classifier = load_classifier(path, arch=request.machine.arch, size=request.machine.size)
        explainers[name] = Explainer(classifier.to(device), folder, request.rule)
        reason = f": {explainers[name].reason}" if explainers[name].reason else ""
        say(f"{name}: maps of the {explainers[name].rule} class{reason}")
    skipped: list[tuple[str, str]] = []
    if not rows:
        order = np.random.default_rng(request.seed).permutation(len(folder.names)).tolist()
        rows, failures = readable_images(folder, order, request.count)
        skipped = [(str(folder.root / path), reason) for path, reason in failures]
        say_skipped(skipped, say)
    explanations = {
        name: explain_images(explainer, rows, request.methods)
        for name, explainer in explainers.items()
    }
    record = {
        **gradients_record(explainers, rows, explanations),
        "methods": list(request.methods),
        "inputs": {"images": listing(folder)},
        "skipped": skipped_images(skipped),
        **provenance(started),
    }
    record["name"] = request.name or data_name(record["inputs"])
    out = settled_folder(request.out, record, say, of_run=request.of_run)
    write_figure(gradient_figure(folder, rows, explanations), out / "gradients.png")
    write_result(out, record)  # last: it says that the picture is there
    say(f"{out / 'gradients.png'} shows {counted(len(rows), 'image')}")
    return Evaluation(record, _lines(record))


def readable_images(
    folder: LabelledFolder, rows: Sequence[int], count: int
) -> tuple[list[int], list[tuple[str, str]]]:
    """Take the first images of an order that can be read."""
    chosen: list[int] = []
    failures: list[tuple[str, str]] = []
    for row in rows:
        if len(chosen) == count:
            break
        try:
            folder.decode(row)
            chosen.append(row)
        except ImageError as error:
            failures.append((escaped(folder.names[row]), str(error)))
    if not chosen:
        raise DiloError(
            f"{folder.root} must hold images that can be read, but none of {len(rows)} could, the "
            f"first being {failures[0][0]} ({failures[0][1]}): check the files"
        )
    return sorted(chosen), failures


def gradients_record(
    explainers: Mapping[str, Explainer],
    rows: Sequence[int],
    explanations: Mapping[str, Sequence[Explanation]],
) -> dict[str, Any]:
    """Gather classifiers, and for each image class, score and probability by each of them."""
    first = next(iter(explainers.values()))
    return {
        **record_head("gradients", (e.classifier.encoder for e in explainers.values())),
        "class": first.rule,
        "images": str(first.folder.root),
        "classifiers": [
            {
                "name": name,
                "checkpoint": str(explainer.classifier.encoder.source),
                "step": explainer.classifier.encoder.step,
                "size": explainer.classifier.encoder.size,
            }
            for name, explainer in explainers.items()
        ],
        "shown": [
            {
                "path": escaped(first.folder.names[row]),
                "class": first.folder.class_name(row),
                "classifiers": [
                    {
                        "name": name,
                        "class": images[i].label,
                        "score": images[i].score,
                        "probability": images[i].probability,
                        "right": images[i].right,
                    }
                    for name, images in explanations.items()
                ],
            }
            for i, row in enumerate(rows)
        ],
    }


def _lines(record: Mapping[str, Any]) -> list[str]:
    """Say what each classifier makes of each image."""
    return [
        f"{image['path']}  {one['name']}: {one['class']} {one['probability']:.0%}"
        for image in record["shown"]
        for one in image["classifiers"]
    ]
