"""`dilo-eval`: options to a read-out, its result to words and JSON."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.pipeline.atomic import write_text
from dilo.pipeline.cli import EXISTING, NAMED, json_option, say, user_errors
from dilo.pipeline.progress import Progress

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.encoder import Encoder
    from dilo.eval.features import Features, LabelledFolder

DEFAULT_KS = (1, 20, 200)


@click.group()
@click.version_option(package_name="dilo", prog_name="dilo-eval")
def main() -> None:
    """Say whether the training worked, in numbers.

    \b
    Exit status of every command:
      0  done
      2  the command line is wrong
      3  could not go on; the message says why and what to do
    """


def _positive(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse zero, negative numbers, infinity and NaN, which a FloatRange lets pass."""
    if not 0 < value < math.inf:
        raise click.BadParameter(f"must be positive and finite, got {value}")
    return value


def _writable(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a result file without a folder now, not after the work."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"its folder must exist, got {value}: create {value.parent}")
    return value


@main.command()
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A checkpoint, or the folder of a run, for its newest one.",
)
@click.option("--train", required=True, type=EXISTING, help="Class folders: the known images.")
@click.option("--test", required=True, type=EXISTING, help="Class folders: the images to classify.")
@click.option(
    "--k",
    "ks",
    multiple=True,
    type=click.IntRange(min=1),
    show_default="1, 20 and 200, as far as there are images",
    help="Neighbours that vote; may be given again.",
)
@click.option(
    "--temperature",
    default=0.07,
    show_default=True,
    callback=_positive,
    help="A neighbour of cosine similarity s weighs exp(s / temperature).",
)
@click.option(
    "--batch", default=256, show_default=True, type=click.IntRange(min=1), help="Images at once."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    show_default="one a core, at most 8",
    help="Processes that decode; 0 decodes in the main one.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where the network runs; auto takes CUDA where there is one.",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    show_default="as in training, or 224",
    help="Side of the evaluated crops, in pixels.",
)
@click.option(
    "--arch",
    show_default="what the checkpoint says",
    help="The ResNet, where the file is silent: resnet50.",
)
@json_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_writable,
    help="Write the same JSON to this file too.",
)
@user_errors
def knn(
    checkpoint: Path,
    train: Path,
    test: Path,
    ks: tuple[int, ...],
    temperature: float,
    batch: int,
    workers: int | None,
    device: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Classify test images by a vote of the most similar training images.

    The frozen network turns each image into its pooled features; nothing is trained.
    An image that cannot be read is left out and reported.
    """
    if train.samefile(test):
        raise click.BadParameter(
            "must be another folder than --train: every image would find itself",
            param_hint="--test",
        )
    from dilo.eval.encoder import load_encoder
    from dilo.eval.features import labelled_folder
    from dilo.train.devices import choose_device

    place = choose_device(device)
    bank_folder = labelled_folder(train)
    query_folder = labelled_folder(test, classes=bank_folder.classes)
    _fitting(ks, len(bank_folder.names))  # now, not after an hour of reading
    encoder = load_encoder(checkpoint, arch=arch, size=size)
    bank = _features(encoder, bank_folder, batch, workers, place)
    queries = _features(encoder, query_folder, batch, workers, place)
    record = _classified(encoder, bank, queries, ks, temperature, place)
    _say_result(record, left_out=[] if ks else [k for k in DEFAULT_KS if k > len(bank.labels)])
    text = json.dumps(record)
    if out is not None:
        write_text(out, f"{text}\n")
    if as_json:
        click.echo(text)


def _fitting(ks: tuple[int, ...], images: int) -> tuple[int, ...]:
    """Check the k asked for against the number of training images, or choose those that fit."""
    if ks and max(ks) > images:
        raise click.BadParameter(
            f"must be at most {images}, the training images that can be read, got {max(ks)}",
            param_hint="--k",
        )
    return tuple(sorted(set(ks))) or tuple(k for k in DEFAULT_KS if k <= images)


def _features(
    encoder: "Encoder",
    folder: "LabelledFolder",
    batch: int,
    workers: int | None,
    device: "torch.device",
) -> "Features":
    """Run the network over a folder, saying how far it is and what could not be read."""
    from joblib import cpu_count

    from dilo.eval.features import features

    if workers is None:
        workers = min(8, cpu_count())
    say(f"{folder.root}: {len(folder.names)} images in {len(folder.classes)} classes")
    with Progress(len(folder.names), "images", say) as progress:
        found = features(
            encoder,
            folder,
            batch=batch,
            workers=workers,
            device=device,
            progress=progress.advance,
        )
    if found.unreadable:
        say(f"{len(found.unreadable)} of them could not be read and are left out:")
        for path, reason in found.unreadable[:NAMED]:
            say(f"  {path}: {reason}")
        if len(found.unreadable) > NAMED:
            say(f"  and {len(found.unreadable) - NAMED} more; --json names all")
    return found


def _classified(
    encoder: "Encoder",
    bank: "Features",
    queries: "Features",
    ks: tuple[int, ...],
    temperature: float,
    device: "torch.device",
) -> dict[str, Any]:
    """Let the neighbours vote, and gather what --json prints; accuracies are in per cent."""
    from dilo.eval.knn import knn_accuracy

    results = knn_accuracy(
        bank.vectors,
        bank.labels,
        queries.vectors,
        queries.labels,
        ks=_fitting(ks, len(bank.labels)),
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


def _say_result(record: dict[str, Any], left_out: list[int]) -> None:
    """Print the table for people, with what guessing would give beside it."""
    classes, images = record["classes"], record["train_images"]
    say(
        f"weighted kNN, temperature {record['temperature']:g}: {record['test_images']} test images "
        f"against {images} training images, {classes} classes"
    )
    say("     k    top-1    top-5")
    for result in record["results"]:
        say(f"{result['k']:>6} {result['top1']:>6.1f} % {result['top5']:>6.1f} %")
    say(f"chance {100 / classes:>6.1f} % {100 * min(5, classes) / classes:>6.1f} %")
    if left_out:
        say(f"left out: k = {', '.join(map(str, left_out))}, more than the training images")
