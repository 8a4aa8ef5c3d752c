"""`dilo-eval knn`: the read-out that trains nothing."""

from pathlib import Path

import click

from dilo.eval.cli.extracting import extracted
from dilo.eval.cli.options import (
    arch_option,
    batch_option,
    checkpoint_option,
    device_option,
    positive,
    size_option,
    tell,
    workers_option,
    writable,
)
from dilo.pipeline.cli.options import EXISTING, json_option, say, user_errors
from dilo.pipeline.extras import require_torch

DEFAULT_KS = (1, 20, 200)


@click.command("knn")
@checkpoint_option
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
    callback=positive,
    help="A neighbour of cosine similarity s weighs exp(s / temperature).",
)
@batch_option
@workers_option
@device_option
@size_option
@arch_option
@json_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="Write the same JSON to this file too.",
)
@user_errors
def command(
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
    require_torch("dilo-eval")
    from dilo.eval.encoder import load_encoder
    from dilo.eval.folders import labelled_folder
    from dilo.eval.knn import knn_record, knn_table
    from dilo.train.devices import choose_device

    place = choose_device(device)
    bank_folder = labelled_folder(train)
    query_folder = labelled_folder(test, classes=bank_folder.classes)
    _fitting(ks, len(bank_folder.names))  # now, not after an hour of reading
    encoder = load_encoder(checkpoint, arch=arch, size=size)
    bank = extracted(encoder, bank_folder, batch, workers, place)
    queries = extracted(encoder, query_folder, batch, workers, place)
    record = knn_record(
        encoder,
        bank,
        queries,
        ks=_fitting(ks, len(bank.labels)),
        temperature=temperature,
        device=place,
    )
    for line in knn_table(record):
        say(line)
    if left_out := [] if ks else [k for k in DEFAULT_KS if k > len(bank.labels)]:
        say(f"left out: k = {', '.join(map(str, left_out))}, more than the training images")
    tell(record, as_json=as_json, out=out)


def _fitting(ks: tuple[int, ...], images: int) -> tuple[int, ...]:
    """Check the k asked for against the number of training images, or choose those that fit."""
    if ks and max(ks) > images:
        raise click.BadParameter(
            f"must be at most {images}, the training images that can be read, got {max(ks)}",
            param_hint="--k",
        )
    return tuple(sorted(set(ks))) or tuple(k for k in DEFAULT_KS if k <= images)
