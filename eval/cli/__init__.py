"""`dilo-eval`: options to a read-out, its result to words and JSON."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.exporting import export
from dilo.pipeline.atomic import write_text
from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    NAMED,
    jobs_option,
    json_option,
    say,
    user_errors,
)
from dilo.pipeline.extras import require, require_torch
from dilo.pipeline.progress import Progress

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.encoder import Encoder
    from dilo.eval.features import Features, LabelledFolder

DEFAULT_KS = (1, 20, 200)


@click.group()
@click.version_option(package_name="dilo", prog_name="dilo-eval")
def main() -> None:
    """Say whether it worked: the training, the masks. In numbers and pictures.

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


def _named_folders(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, Path]]:
    """Part NAME=DIR; a folder that has "=" in its own name is that folder."""
    found: dict[str, Path] = {}
    for value in values:
        name, equals, folder = value.partition("=")
        path = Path(folder if equals and not Path(value).is_dir() else value)
        name = name if equals and not Path(value).is_dir() else path.resolve().name
        if not path.is_dir():
            raise click.BadParameter(f"must be a folder, or NAME=DIR, got {value}: no such folder")
        if not name or not name.isprintable():
            raise click.BadParameter(f"must name the method in printable letters, got {value!r}")
        if name in found:
            raise click.BadParameter(
                f"must have a name for each method, got {name} twice: give NAME={path}"
            )
        found[name] = path
    return list(found.items())


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
    require_torch("dilo-eval")
    from dilo.eval.encoder import load_encoder
    from dilo.eval.features import labelled_folder
    from dilo.eval.readout import knn_record, knn_table
    from dilo.train.devices import choose_device

    place = choose_device(device)
    bank_folder = labelled_folder(train)
    query_folder = labelled_folder(test, classes=bank_folder.classes)
    _fitting(ks, len(bank_folder.names))  # now, not after an hour of reading
    encoder = load_encoder(checkpoint, arch=arch, size=size)
    bank = _features(encoder, bank_folder, batch, workers, place)
    queries = _features(encoder, query_folder, batch, workers, place)
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


@main.command()
@click.option(
    "--masks",
    multiple=True,
    required=True,
    metavar="[NAME=]DIR",
    callback=_named_folders,
    help="A store of dilo-prep, or a folder of PNGs; given again, methods are compared.",
)
@click.option("--truth", type=EXISTING, required=True, help="PNGs, white where the object is.")
@click.option("--out", type=FOLDER, required=True, help="Folder for tables, plots and sheets.")
@click.option("--images", type=EXISTING, help="The images, to show them on the sheets.")
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Score only images that every method has a mask for; otherwise one missing is an error.",
)
@jobs_option
@click.option("--no-plots", is_flag=True, help="Draw no plots, which takes matplotlib.")
@json_option
@user_errors
def saliency(
    masks: list[tuple[str, Path]],
    truth: Path,
    out: Path,
    images: Path | None,
    allow_missing: bool,
    jobs: int,
    no_plots: bool,
    as_json: bool,
) -> None:
    """Score saliency masks against ground truth, as benchmarks do.

    Masks and ground truth pair by relative path, extension aside, or, where no path
    matches, by file name. Writes saliency.json, table.txt, per-image.csv, two plots and,
    for each method, a sheet of its best, median and worst masks by weighted F.
    """
    for folder in filter(None, (truth, images, *(folder for _, folder in masks))):
        if out.resolve().is_relative_to(folder.resolve()):
            raise click.BadParameter(
                f"must be outside the folders that are read, got {out} in {folder}",
                param_hint="--out",
            )
    if not no_plots:
        require("dilo-eval saliency", ("matplotlib",), "eval", instead=", or give --no-plots")
    from dilo.eval.saliency.evaluation import Request, evaluate

    request = Request(
        masks=masks,
        truth=truth,
        out=out,
        images=images,
        allow_missing=allow_missing,
        jobs=jobs,
        plots=not no_plots,
    )
    record = evaluate(request, say)
    say(f"{out}: table.txt has these numbers, saliency.json the curves, per-image.csv the images")
    if as_json:
        click.echo(json.dumps(record))


main.add_command(export)
