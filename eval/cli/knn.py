"""`dilo-eval knn`: the evaluation that trains nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.options import (
    IMAGES_OR_FEATURES,
    Narrowing,
    layer_option,
    machine_options,
    name_option,
    optional_checkpoint_option,
    positive,
    print_evaluation,
    require_parent,
    two_narrowing_options,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.options import FOLDER, json_option, out_option, say, user_errors
from dilo.pipeline.cli.outputs import JSON_FILE
from dilo.pipeline.common.extras import require_torch

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.models.encoder import Layer


@click.command("knn")
@optional_checkpoint_option
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
    help="Write the same JSON to this file too.",
)
@user_errors
def command(
    checkpoint: Path | None,
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
    RUN/eval/knn; of a checkpoint that is not its newest, to RUN/eval/knn-step-N.
    """
    from dilo.pipeline.images.source import holds_images

    if train.resolve() == test.resolve():
        raise click.BadParameter(
            "must not be the images of --train: every image would find itself", param_hint="--test"
        )
    if checkpoint is None and (holds_images(train) or holds_images(test)):
        raise click.UsageError("--checkpoint must be given, unless --train and --test are files.")
    require_torch("dilo-eval")
    from dilo.eval import knn
    from dilo.eval.common.results import (
        require_record,
        run_folder,
        settled_file,
        settled_folder,
        write_record,
        write_result,
    )

    if out is not None:
        require_record("--out", out, "knn")
    request = knn.Request(
        checkpoint=checkpoint,
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
    evaluation = knn.evaluate(request, say)
    record = evaluation.record
    print_evaluation(evaluation, as_json=as_json)
    if out is not None:
        write_record(settled_file(out, record, say), record)
    if checkpoint is not None and (usual := run_folder("knn", checkpoint)):
        folder = settled_folder(usual, record, say, of_run=True)
        say(f"written to {write_result(folder, record)}")
