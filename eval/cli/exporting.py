"""`dilo-eval export`: a trunk for other programs."""

import json
from pathlib import Path

import click

from dilo.pipeline.cli.options import json_option, say, user_errors


@click.command()
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="A run's folder, or any checkpoint that dilo-eval reads.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["torchvision", "timm", "detectron2", "safetensors", "moco"]),
    required=True,
    help="For whom: a bare state dict of torchvision's or timm's names, detectron2's pickle, "
    "safetensors, or what the MoCo repository's scripts read.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file."
)
@click.option("--half", type=click.Choice(["l", "ab"]), help="Of CMC: which of its two trunks.")
@click.option("--arch", help="The network, where the checkpoint does not say.")
@json_option
@user_errors
def export(
    checkpoint: Path, form: str, out: Path, half: str | None, arch: str | None, as_json: bool
) -> None:
    """Write the trunk of a checkpoint, without its head, for another program.

    A file of that name is replaced, once the new one is whole.
    """
    from dilo.eval.encoder import load_encoder
    from dilo.eval.export import export as write

    encoder = load_encoder(checkpoint, arch=arch)
    count = write(encoder, form, out, half=half)
    say(f"{out}: {count} tensors of {encoder.source}, for {form}")
    if as_json:
        click.echo(json.dumps({"out": str(out), "format": form, "tensors": count}))
