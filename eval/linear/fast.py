"""The linear probe in minutes: a sweep over features made once, and the best layer on the test."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from dilo.eval.features.features import Features
from dilo.eval.linear.results import fast_record
from dilo.eval.linear.saving import write_classifier
from dilo.eval.linear.scoring import per_class, places, score
from dilo.eval.linear.sweep import Sweep, sweep
from dilo.eval.models.encoder import Encoder


def fast_probe(
    encoder: Encoder,
    bank: Features,
    queries: Features,
    asked: Sweep,
    folder: Path | Callable[[Mapping[str, Any]], Path],
    device: torch.device,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Train many layers in one pass, choose one without the test images, and score it on them.

    Parameters
    ----------
    encoder : Encoder
        The trunk.
    bank, queries : Features
        Of the training and of the test images, with the same classes.
    asked : Sweep
        What to try.
    folder : Path or callable
        Of the result: the classifier; made if it is missing. Or what chooses it by the record,
        which has all but the classifier.
    device : torch.device
        Where to compute.
    progress : callable, optional
        Called with the number of rows learnt from since the last call.

    Returns
    -------
    dict
        What `fast_record` gathers.

    Raises
    ------
    CheckpointError
        If every layer diverged, or the classifier cannot be written.
    DiloError
        If no class has two images.
    """
    classes = len(bank.classes)
    swept = sweep(bank.vectors, bank.labels, classes, asked, device=device, progress=progress)
    weight, bias = swept.weight.to(device), swept.bias.to(device)
    found = places(weight, bias, queries.vectors, queries.labels)
    scored = score(found)
    by_class = per_class(found, queries.labels, bank.classes)
    record = fast_record(encoder, bank, queries, asked, swept, scored, by_class)
    folder = folder(record) if callable(folder) else folder
    folder.mkdir(parents=True, exist_ok=True)
    path = write_classifier(
        folder,
        encoder,
        (swept.weight, swept.bias),
        bank.classes,
        epoch=asked.epochs,
        best_acc1=scored.top1,
        about={"protocol": {"name": "fast", **dataclasses.asdict(asked)}, "seed": asked.seed},
    )
    return record | {"classifier": str(path)}
