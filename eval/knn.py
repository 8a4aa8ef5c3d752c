"""What a kNN read-out found: as a record for machines, as a table for people."""

from collections.abc import Sequence
from typing import Any

import torch

from dilo.eval.encoder import Encoder
from dilo.eval.features import Features
from dilo.train.knn import knn_accuracy


def knn_record(
    encoder: Encoder,
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
    encoder : Encoder
        What made the features.
    bank : Features
        Of the training images.
    queries : Features
        Of the images to classify.
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
    return {
        "task": "knn",
        "checkpoint": str(encoder.source),
        "step": encoder.step,
        "size": encoder.size,
        "temperature": temperature,
        "results": [{"k": found.k, "top1": found.top1, "top5": found.top5} for found in results],
        "classes": len(bank.classes),
        "train_images": len(bank.labels),
        "test_images": len(queries.labels),
        "unreadable": [
            {"path": str(part.root / path), "reason": reason}
            for part in (bank, queries)
            for path, reason in part.unreadable
        ],
    }


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
    return [
        f"weighted kNN, temperature {record['temperature']:g}: {record['test_images']} test images "
        f"against {images} training images, {classes} classes",
        "     k    top-1    top-5",
        *(f"{r['k']:>6} {r['top1']:>6.1f} % {r['top5']:>6.1f} %" for r in record["results"]),
        f"chance {100 / classes:>6.1f} % {100 * min(5, classes) / classes:>6.1f} %",
    ]
