"""`dilo-eval knn`: the read-out that trains nothing."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.extracting import extracted, listed
from dilo.eval.cli.options import (
    EITHER,
    arch_option,
    batch_option,
    device_option,
    optional_checkpoint_option,
    output_option,
    positive,
    precision_option,
    size_option,
    tell,
    workers_option,
    writable,
)
from dilo.pipeline.cli.options import FOLDER, json_option, say, user_errors
from dilo.pipeline.cli.outputs import JSON_FILE
from dilo.pipeline.common.extras import require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.features.features import Features
    from dilo.eval.features.folders import LabelledFolder
    from dilo.eval.models.encoder import Encoder, Output

    Source = LabelledFolder | Features

#: Bytes of features that are held in memory; more go through a file.
IN_MEMORY = 2**31


@click.command("knn")
@optional_checkpoint_option
@click.option(
    "--train",
    required=True,
    type=EITHER,
    help="Class folders, or a file of `dilo-eval features`: the known images.",
)
@click.option(
    "--test",
    required=True,
    type=EITHER,
    help="Class folders, or a file of features: the images to classify.",
)
@click.option(
    "--protocol",
    type=click.Choice(["dilo", "instdisc", "moco", "lightly", "solo"]),
    default="dilo",
    show_default=True,
    help="Whose output, k and temperature; the next three options override it.",
)
@output_option
@click.option(
    "--k",
    "ks",
    multiple=True,
    type=click.IntRange(min=1),
    show_default="of dilo: 1, 20 and 200, as far as there are images",
    help="Neighbours that vote; may be given again.",
)
@click.option(
    "--temperature",
    type=float,
    show_default="of dilo: 0.07",
    callback=positive,
    help="A neighbour of cosine similarity s weighs exp(s / temperature).",
)
@click.option(
    "--bank",
    type=click.Choice(["images", "memory"]),
    default="images",
    show_default=True,
    help="Whether neighbours are features of --train, or the memory of its training.",
)
@click.option(
    "--cache",
    type=FOLDER,
    help="Folder for files of features: what is there of the same weights and images is read "
    "again, what is not is put there.",
)
@batch_option
@workers_option
@device_option
@precision_option
@size_option
@arch_option
@json_option
@click.option(
    "--out",
    type=JSON_FILE,
    callback=writable,
    help="Write the same JSON to this file too.",
)
@user_errors
def command(
    checkpoint: Path | None,
    train: Path,
    test: Path,
    protocol: str,
    output: "Output | None",
    ks: tuple[int, ...],
    temperature: float | None,
    bank: str,
    cache: Path | None,
    batch: int,
    workers: int | None,
    device: str,
    precision: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Classify test images by a vote of the most similar training images.

    The frozen network turns each image into its features; nothing is trained. More features than
    2 GiB go through a file, in --cache, or else in TMPDIR for the while. An image that cannot be
    read is left out and reported. Of a run, the result is written to RUN/eval/knn as well.
    """
    started = time.monotonic()
    wanted = _wanted(checkpoint, train, test, bank, output)
    require_torch("dilo-eval")
    from dilo.eval.common.results import (
        provenance,
        require_record,
        result_folder,
        settled_file,
        settled_folder,
        write_result,
    )
    from dilo.eval.features.folders import LabelledFolder
    from dilo.eval.knn.memory import memory_features
    from dilo.eval.knn.protocols import PROTOCOLS
    from dilo.eval.knn.record import knn_record, knn_table, require_comparable
    from dilo.eval.models.encoder import load_encoder
    from dilo.train.runtime.devices import choose_device, choose_precision

    if out is not None:
        require_record("--out", out, "knn")
    preset, place = PROTOCOLS[protocol], choose_device(device)
    exactness = choose_precision(precision, place)
    known = listed(train)
    asked = listed(test, known.classes)
    _fitting(ks, preset.ks, len(known.labels))  # now, not after an hour of reading
    compared = wanted or preset.output
    encoder = None
    if checkpoint is not None:
        encoder = load_encoder(checkpoint, arch=arch, size=size, output=compared)
    with tempfile.TemporaryDirectory(prefix="dilo-knn-") as scratch:

        def read(source: "Source") -> "Features":
            keep = _keep(encoder, source, cache, Path(scratch))
            return extracted(encoder, source, batch, workers, place, precision=exactness, keep=keep)

        if bank == "memory" and encoder is not None and isinstance(known, LabelledFolder):
            neighbours = memory_features(encoder, known)
        else:
            neighbours = read(known)
        queries = read(asked)
        require_comparable(neighbours, queries, compared)
        fitting = _fitting(ks, preset.ks, len(neighbours.labels))
        heat = temperature or preset.temperature_for(encoder.recipe if encoder else {})
        found = knn_record(neighbours, queries, ks=fitting, temperature=heat, device=place)
    record = {**found, "protocol": protocol, "bank": bank, **provenance(started)}
    for line in knn_table(record):
        say(line)
    if left_out := [] if ks else [k for k in preset.ks if k not in fitting]:
        say(f"left out: k = {', '.join(map(str, left_out))}, more than the training images")
    tell(record, as_json=as_json, out=out and settled_file(out, record, say))
    if checkpoint is not None and (checkpoint / "checkpoints").is_dir():
        folder = settled_folder(result_folder("knn", None, checkpoint), record, say, of_run=True)
        say(f"written to {write_result(folder, record)}")


def _wanted(
    checkpoint: Path | None, train: Path, test: Path, bank: str, output: "Output | None"
) -> "Output | None":
    """Refuse what does not go together, and tell which output the options ask for, if any."""
    if train.samefile(test):
        raise click.BadParameter(
            "must be another than --train: every image would find itself", param_hint="--test"
        )
    if checkpoint is None and (bank == "memory" or train.is_dir() or test.is_dir()):
        raise click.UsageError("--checkpoint must be given, unless --train and --test are files.")
    if bank == "images":
        return output
    if train.is_file() or output == "pooled":
        raise click.BadParameter(
            "memory holds embeddings of the images of a folder: give --train the folder of the "
            "training, and leave --output pooled out",
            param_hint="--bank",
        )
    return "embedding"


def _keep(
    encoder: "Encoder | None", source: "Source", cache: Path | None, scratch: Path
) -> Path | None:
    """Choose the folder of a file that features go through; None where memory will do."""
    from dilo.eval.features.extraction import width_of
    from dilo.eval.features.features import Features

    if encoder is None or isinstance(source, Features):
        return None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        return cache
    size = 4 * len(source.names) * width_of(encoder)
    if size <= IN_MEMORY:
        return None
    say(f"{source.root}: {size / 1e9:.1f} GB of features go through {scratch}; --cache keeps them")
    return scratch


def _fitting(ks: tuple[int, ...], preset: tuple[int, ...], images: int) -> tuple[int, ...]:
    """Check the k asked for against the number of training images, or choose those that fit."""
    if max(ks, default=min(preset)) > images:
        raise click.BadParameter(
            f"must be at most {images}, the training images that can be read, "
            f"got {max(ks, default=min(preset))}",
            param_hint="--k",
        )
    return tuple(sorted(set(ks))) or tuple(k for k in preset if k <= images)
