"""`dilo-eval features`: a folder to a file of features, once, for all that reads them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.eval.cli.extracting import stored
from dilo.eval.cli.options import (
    arch_option,
    batch_option,
    checkpoint_option,
    device_option,
    output_option,
    precision_option,
    size_option,
    tell,
    workers_option,
    writable,
)
from dilo.pipeline.cli.options import EXISTING, json_option, say, user_errors
from dilo.pipeline.cli.outputs import HDF5_FILE
from dilo.pipeline.common.extras import require_torch
from dilo.pipeline.common.printing import counted

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.eval.models.encoder import Output


@click.command("features")
@checkpoint_option
@click.option(
    "--images",
    required=True,
    type=EXISTING,
    help="A folder of images, at any depth; where all lie in class folders, with their classes.",
)
@click.option(
    "--out",
    required=True,
    type=HDF5_FILE,
    callback=writable,
    help="The file, HDF5.",
)
@output_option
@batch_option
@workers_option
@device_option
@precision_option
@size_option
@arch_option
@json_option
@user_errors
def command(
    checkpoint: Path,
    images: Path,
    out: Path,
    output: "Output | None",
    batch: int,
    workers: int | None,
    device: str,
    precision: str,
    size: int | None,
    arch: str | None,
    as_json: bool,
) -> None:
    """Write what a network makes of each image of a folder to an HDF5 file.

    Where `knn` takes a folder, it takes such a file too, then without a checkpoint. A command
    that was killed goes on when given again; a file of that name is replaced, once the new one
    is whole. An image that cannot be read is left out and reported.
    """
    started = time.monotonic()
    require_torch("dilo-eval")
    from dilo.eval.common.results import provenance
    from dilo.eval.features.features import features_record
    from dilo.eval.features.folders import any_folder
    from dilo.eval.models.encoder import load_encoder
    from dilo.train.runtime.devices import choose_device, choose_precision

    place = choose_device(device)
    exactness = choose_precision(precision, place)
    folder = any_folder(images, say=say)
    encoder = load_encoder(checkpoint, arch=arch, size=size, output=output or "pooled")
    found = stored(encoder, folder, out, batch, workers, place, precision=exactness)
    rows, width = found.vectors.shape
    say(f"{out}: {counted(rows, 'row')} of {width}, {found.origin.output}")
    record = {**features_record(found), "out": str(out), **provenance(started)}
    tell(record, as_json=as_json)
