"""`dilo-eval features`: a folder of images into a file that `knn` and others read."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.options import (
    checkpoint_option,
    layer_option,
    machine_options,
    print_evaluation,
    require_parent,
)
from dilo.eval.common.machine import Machine
from dilo.pipeline.cli.options import json_option, out_option, say, user_errors
from dilo.pipeline.cli.outputs import HDF5_FILE
from dilo.pipeline.cli.selection import images_options
from dilo.pipeline.common.extras import require_torch
from dilo.pipeline.common.printing import counted

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.models.encoder import Layer
    from dilo.pipeline.images.selection import ImageSelection


@click.command("features")
@checkpoint_option
@images_options("A folder of images, at any depth; classes are stored if all are in class folders.")
@out_option(
    required=True,
    type=HDF5_FILE,
    callback=require_parent,
    help="The file, HDF5.",
)
@layer_option
@machine_options()
@json_option
@user_errors
def command(
    checkpoint: Path,
    images: "ImageSelection",
    out: Path,
    layer: "Layer | None",
    machine: Machine,
    as_json: bool,
) -> None:
    """Write the features of each image of a folder to an HDF5 file.

    `knn`, `neighbors` and `linear --fast` take such a file in place of the folder. Run an
    interrupted command again to resume it. An existing file of that name is replaced when the
    new one is complete. An image that cannot be read is skipped and reported.
    """
    started = time.monotonic()
    require_torch("dilo-eval")
    from dilo.eval.common.results import Evaluation, provenance
    from dilo.eval.features.features import features_record
    from dilo.eval.features.folders import any_folder
    from dilo.eval.features.loading import Loader
    from dilo.eval.models.encoder import load_encoder

    folder = any_folder(images, say=say)
    encoder = load_encoder(
        checkpoint, arch=machine.arch, size=machine.size, layer=layer or "pooled"
    )
    features = Loader(machine, say).extract_to_file(encoder, folder, out)
    rows, width = features.vectors.shape
    record = {**features_record(features), "out": str(out), **provenance(started)}
    table = [f"{out}: {counted(rows, 'row')} of {width}, {features.source.layer}"]
    print_evaluation(Evaluation(record, table), as_json=as_json)
