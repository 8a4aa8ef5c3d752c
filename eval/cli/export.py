"""`dilo-eval export`: a backbone for other programs."""

from pathlib import Path

import click

from dilo.eval.cli.options import arch_option, checkpoint_option, require_parent
from dilo.pipeline.cli.options import json_option, out_option, print_result, say, user_errors
from dilo.pipeline.cli.outputs import WEIGHTS_FILE
from dilo.pipeline.common.extras import require_torch
from dilo.pipeline.errors import DiloError


@click.command("export")
@checkpoint_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["torchvision", "timm", "detectron2", "safetensors", "moco"]),
    required=True,
    help="For which program: a bare state dict with torchvision's or timm's names, detectron2's "
    "pickle, safetensors, or what the MoCo repository's scripts read.",
)
@out_option(
    type=WEIGHTS_FILE,
    required=True,
    callback=require_parent,
    help="The file; OUT.card.md and OUT.card.json beside it say what it is.",
)
@click.option("--half", type=click.Choice(["l", "ab"]), help="For CMC: which of its two backbones.")
@arch_option
@click.option(
    "--part",
    help="Key of the network, such as teacher, in a file with several.",
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
    """Write the backbone of a checkpoint, without its head, for another program.

    A card beside it says what the network is and takes, how to load it, how and on what it was
    trained, and its results. Existing files of these names are replaced.

    A detector.pth of `dilo-eval detect` is written whole, for detectron2, with its settings.
    """
    require_torch("dilo-eval")
    from dilo.eval.detect.export import export_detector, write_backbone_config
    from dilo.eval.detect.weights import detector_in
    from dilo.eval.export.export import export
    from dilo.eval.models.encoder import load_encoder

    if detector := detector_in(checkpoint):
        if form != "detectron2":
            raise DiloError(
                f"{checkpoint} is a detector, for --format detectron2 alone, got {form}: it has "
                "torchvision's names as it is, and examples/load_detector.py loads it"
            )
        written = export_detector(detector, out)
        lines = [f"{out}: {written['tensors']} tensors of {checkpoint}, for {form}"]
        lines.append(f"{written['config']}: its settings")
        print_result(lines, {"out": str(out), **written}, as_json=as_json)
        return
    encoder = load_encoder(checkpoint, arch=arch, part=part)
    card = export(encoder, form, out, half=half)
    if encoder.space != "rgb" and form not in ("moco", "safetensors"):
        say(f"The network takes {encoder.space}, which this format cannot say: see the card")
    tasks = dict.fromkeys(number["task"] for number in card["numbers"])
    lines = [
        f"{out}: {card['tensors']} tensors of {encoder.source}, for {form}",
        f"{out}.card.md: {', '.join(tasks) or 'no results'}",
    ]
    if form == "detectron2" and (config := write_backbone_config(encoder, out)):
        lines.append(f"{config}: settings of detectron2 for VOC, by the protocol voc-24k")
    print_result(lines, {"out": str(out), **card}, as_json=as_json)
