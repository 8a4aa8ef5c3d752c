"""What a kNN read-out found: as a record for machines, as a table for people."""

from collections.abc import Sequence
from typing import Any

import torch

from dilo.eval.common.inputs import listing
from dilo.eval.features.features import Features, unreadable_record
from dilo.pipeline.errors import DiloError
from dilo.train.monitor.knn import knn_accuracy

#: Classes that top-5 looks at.
FIRST = 5


def require_comparable(bank: Features, queries: Features, output: str) -> None:
    """Refuse features that no cosine compares.

    Parameters
    ----------
    bank, queries : Features
        Of training images and of those to classify.
    output : str
        What is to be compared: "pooled" or "embedding".

    Raises
    ------
    DiloError
        If they come from two networks, or two ways of looking, or are of another output.
    """
    if differences := bank.origin.differences(queries.origin):
        raise DiloError(
            "features of --train and --test must come from one network in one way, got "
            f"{'; '.join(differences)}: make one of them anew"
        )
    if bank.origin.output != output:
        raise DiloError(
            f"features must be {output}, got {bank.origin.output} in the files: give "
            f"--output {bank.origin.output}, or make files with --output {output}"
        )


def knn_record(
    bank: Features,
    queries: Features,
    *,
    ks: Sequence[int],
    temperature: float,
    device: torch.device,
) -> dict[str, Any]:
    """Let the neighbours vote, and gather what --json prints.

    Parameters
    ----------
    bank : Features
        Of the training images.
    queries : Features
        Of the images to classify, by the same classes.
    ks : sequence of int
        Numbers of neighbours, each between 1 and the rows of `bank`.
    temperature : float
        Similarities are divided by it before they are exponentiated.
    device : torch.device
        Where to compute.

    Returns
    -------
    dict
        Settings, counts and, for each k, accuracies in per cent.
    """
    results = knn_accuracy(
        bank.vectors,
        bank.labels,
        queries.vectors,
        queries.labels,
        ks=ks,
        temperature=temperature,
        classes=len(bank.classes),
        device=device,
    )
    origin = queries.origin
    return {
        "task": "knn",
        "checkpoint": origin.checkpoint,
        "step": origin.step,
        "size": origin.size,
        "output": origin.output,
        "temperature": temperature,
        "results": [
            {
                "k": found.k,
                "top1": found.top1,
                "top5": found.top5 if tells_five(found.k, len(bank.classes)) else None,
                "per_class": dict(zip(bank.classes, found.per_class, strict=True)),
            }
            for found in results
        ],
        "classes": len(bank.classes),
        "precision": origin.precision,
        "inputs": {"train": listing(bank), "test": listing(queries)},
        "train": str(bank.root),
        "test": str(queries.root),
        "train_images": len(bank.labels),
        "test_images": len(queries.labels),
        "unreadable": [*unreadable_record(bank), *unreadable_record(queries)],
    }


def tells_five(k: int, classes: int) -> bool:
    """Tell whether the true class among the first five says more than what is known anyway.

    Parameters
    ----------
    k : int
        Neighbours that vote.
    classes : int
        How many there are.

    Returns
    -------
    bool
        False where fewer than five classes can have a vote, as at k = 1, where top-5 is top-1;
        and where all classes are among the five.
    """
    return k >= FIRST and classes > FIRST


def knn_table(record: dict[str, Any]) -> list[str]:
    """Write the table for people, with what guessing would give below it.

    Parameters
    ----------
    record : dict
        What `knn_record` gathered.

    Returns
    -------
    list of str
        Lines.
    """
    classes, images = record["classes"], record["train_images"]
    chance = 100 * FIRST / classes if classes > FIRST else None
    return [
        f"weighted kNN, {record['output']}, temperature {record['temperature']:g}: "
        f"{record['test_images']} test images against {images} training images, {classes} classes",
        "     k    top-1    top-5",
        *(f"{r['k']:>6} {r['top1']:>6.1f} % {_cell(r['top5'])}" for r in record["results"]),
        f"chance {100 / classes:>6.1f} % {_cell(chance)}",
    ]


def _cell(value: float | None) -> str:
    """Write a share, or that there is none."""
    return f"{'-':>6}" if value is None else f"{value:>6.1f} %"
