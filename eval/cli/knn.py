"""`dilo-eval knn`: the evaluation that trains nothing."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.options import (
    IMAGES_OR_FEATURES,
    Narrowing,
    checkpoints_option,
    layer_option,
    machine_options,
    name_option,
    positive,
    print_evaluation,
    require_parent,
    require_two_folders,
    two_narrowing_options,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.naming import Named
from dilo.pipeline.cli.options import FOLDER, json_option, out_option, say, user_errors
from dilo.pipeline.cli.outputs import JSON_FILE
from dilo.pipeline.common.extras import require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.models.encoder import Layer


@click.command("knn")
@checkpoints_option(required=False)
@click.option(
    "--train",
    required=True,
    type=IMAGES_OR_FEATURES,
    help="Class folders, or a file of `dilo-eval features`: the images whose classes vote.",
)
@click.option(
    "--test",
    required=True,
    type=IMAGES_OR_FEATURES,
    help="Class folders, or a file of features: the images to classify.",
)
@two_narrowing_options
@click.option(
    "--protocol",
    type=click.Choice(["dilo", "instdisc", "moco", "lightly", "solo"]),
    default="dilo",
    show_default=True,
    help="Whose layer, k and temperature; the next three options override it.",
)
@layer_option
@click.option(
    "--k",
    "ks",
    multiple=True,
    type=click.IntRange(min=1),
    show_default="of dilo: 1, 20 and 200, if there are as many images",
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
    "--cache",
    type=FOLDER,
    help="Folder for files of features: those of the same weights and images are read again, "
    "others are added.",
)
@machine_options()
@name_option
@json_option
@out_option(
    type=JSON_FILE,
    callback=require_parent,
    help="Write the same JSON to this file too; with one checkpoint only.",
)
@user_errors
def command(
    checkpoints: Named,
    train: Path,
    test: Path,
    narrowing: Narrowing,
    protocol: str,
    layer: "Layer | None",
    ks: tuple[int, ...],
    temperature: float | None,
    cache: Path | None,
    machine: Machine,
    name: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Classify test images by a vote of the most similar training images.

    The frozen network turns each image into features; nothing is trained. More than 2 GiB of
    features go through a file, in --cache or, for the time of the command, in TMPDIR. An image
    that cannot be read is skipped and reported. The result of a run is also written to
    RUN/eval/knn; of a checkpoint that is not its newest, to RUN/eval/knn-step-N. Several
    checkpoints are compared by the paired differences of their accuracies.
    """
    require_two_folders(train, test)
    _require_fitting(checkpoints, train, test, out)
    require_torch("dilo-eval")
    from dilo.eval import knn
    from dilo.eval.common.outcomes import compared
    from dilo.eval.common.results import require_record, settled_file, write_in_run, write_record
    from dilo.eval.features.loading import Sources

    if out is not None:
        require_record("--out", out, "knn")
    request = knn.Request(
        checkpoint=None,
        train=narrowing.train(train),
        test=narrowing.test(test),
        machine=machine,
        protocol=protocol,
        layer=layer,
        ks=ks,
        temperature=temperature,
        cache=cache,
        name=name,
    )
    if len(checkpoints) < 2:
        request = replace(request, checkpoint=checkpoints[0][1] if checkpoints else None)
        evaluation = knn.evaluate(request, say)
        print_evaluation(evaluation, as_json=as_json)
        if out is not None:
            write_record(settled_file(out, evaluation.record, say), evaluation.record)
        write_in_run(evaluation.record, request.checkpoint, say)
        return
    evaluations, sources = {}, Sources(request.train, request.test, say)
    for checkpoint_name, checkpoint in checkpoints:
        evaluation = knn.evaluate(replace(request, checkpoint=checkpoint), say, sources)
        write_in_run(evaluation.record, checkpoint, say)
        evaluations[checkpoint_name] = evaluation
    print_evaluation(compared(evaluations, "top-1, k = {key}"), as_json=as_json)


def _require_fitting(checkpoints: Named, train: Path, test: Path, out: Path | None) -> None:
    """Refuse options that mean nothing together."""
    from dilo.pipeline.images.source import holds_images

    if not checkpoints and (holds_images(train) or holds_images(test)):
        raise click.UsageError("--checkpoint must be given, unless --train and --test are files.")
    if len(checkpoints) < 2:
        return
    if not (holds_images(train) and holds_images(test)):
        raise click.UsageError(
            "A file of features is of one network: give several --checkpoint with class folders."
        )
    if out is not None:
        raise click.UsageError(
            "--out is for one checkpoint: of several, those of runs write to their runs, and "
            "--json prints all."
        )
