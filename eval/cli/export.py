"""`dilo-eval export`: a trunk for other programs."""

from pathlib import Path

import click

from dilo.eval.cli.options import arch_option, checkpoint_option, tell, writable
from dilo.pipeline.cli.options import json_option, say, user_errors
from dilo.pipeline.cli.outputs import WEIGHTS_FILE
from dilo.pipeline.common.extras import require_torch


@click.command("export")
@checkpoint_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["torchvision", "timm", "detectron2", "safetensors", "moco"]),
    required=True,
    help="For whom: a bare state dict of torchvision's or timm's names, detectron2's pickle, "
    "safetensors, or what the MoCo repository's scripts read.",
)
@click.option(
    "--out",
    type=WEIGHTS_FILE,
    required=True,
    callback=writable,
    help="The file; OUT.card.md and OUT.card.json beside it say what it is.",
)
@click.option("--half", type=click.Choice(["l", "ab"]), help="Of CMC: which of its two trunks.")
@arch_option
@click.option(
    "--part",
    help="Of a file with several networks: which, by its place in it, as teacher.",
)
@json_option
@user_errors
def command(
    checkpoint: Path,
    form: str,
    out: Path,
    half: str | None,
    arch: str | None,
    part: str | None,
    as_json: bool,
) -> None:
    """Write the trunk of a checkpoint, without its head, for another program.

    A card beside it says what the network is and takes, how to load it, how it was trained and
    on what, and what dilo-eval has found for it. Files of these names are replaced, each once
    the new one is whole.
    """
    require_torch("dilo-eval")
    from dilo.eval.export.export import export
    from dilo.eval.models.encoder import load_encoder

    encoder = load_encoder(checkpoint, arch=arch, part=part)
    card = export(encoder, form, out, half=half)
    say(f"{out}: {card['tensors']} tensors of {encoder.source}, for {form}")
    if encoder.space != "rgb" and form not in ("moco", "safetensors"):
        say(f"It sees {encoder.space}, which this format cannot say: the card does")
    say(f"{out}.card.md: {', '.join(card['results']) or 'no results'}")
    tell({"out": str(out), **card}, as_json=as_json)
