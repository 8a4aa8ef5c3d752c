"""The linear probe in minutes: a sweep over features made once, and the best layer on the test."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from dilo.eval.features.features import Features
from dilo.eval.linear.results import fast_record
from dilo.eval.linear.saving import write_classifier
from dilo.eval.linear.scoring import true_class_ranks
from dilo.eval.linear.sweep import SweepConfig, sweep
from dilo.eval.models.encoder import Encoder


def fast_probe(
    encoder: Encoder,
    bank: Features,
    queries: Features,
    config: SweepConfig,
    folder: Path | Callable[[Mapping[str, Any]], Path],
    device: torch.device,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Train many layers in one pass, choose one without the test images, and score it on them.

    `bank` and `queries` are of the training and of the test images, with the same classes. The
    classifier goes to `folder`, or to what that chooses by the record, which then has all else.
    """
    classes = len(bank.classes)
    result = sweep(bank.vectors, bank.labels, classes, config, device=device, progress=progress)
    weight, bias = result.weight.to(device), result.bias.to(device)
    ranks = true_class_ranks(weight, bias, queries.vectors, queries.labels)
    record = fast_record(encoder, bank, queries, config, result, ranks)
    folder = folder(record) if callable(folder) else folder
    folder.mkdir(parents=True, exist_ok=True)
    path = write_classifier(
        folder,
        encoder,
        (result.weight, result.bias),
        bank.classes,
        epoch=config.epochs,
        best_acc1=record["last"]["top1"],
        about={"protocol": {"name": "fast", **dataclasses.asdict(config)}, "seed": config.seed},
    )
    return record | {"classifier": str(path)}
