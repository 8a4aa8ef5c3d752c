"""The card of an exported backbone: what it is and takes, where it is from, its numbers."""

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from dilo.eval.common.templates import render
from dilo.eval.models.encoder import Encoder
from dilo.eval.records.metrics import MetricValue, metric_values
from dilo.eval.records.reading import Source, read_run
from dilo.pipeline.common.files import write_text
from dilo.pipeline.errors import RecipeError
from dilo.pipeline.images.names import escaped
from dilo.train.augment.color import standardisation
from dilo.train.networks.timm_encoder import TIMM, TimmEncoder
from dilo.train.recipes import recipe_text
from dilo.train.recipes.recipe import ARCHITECTURES, recipe_from_dict

#: The colours of a network, in words.
_COLOURS = {
    "rgb": "RGB in [0, 1], in this order",
    "unit": "RGB in [0, 1], in this order, not standardised",
    "lab": "CIELAB, D65: L in [0, 100], a, b",
    "ycbcr": "YCbCr: Y in [16, 235], Cb and Cr in [16, 240]",
    "ydbdr": "YDbDr: Y in [0, 1], Db and Dr in [-1.333, 1.333]",
}


_LANGUAGES = {"moco": "bash", "detectron2": "yaml"}


def card_of(
    encoder: Encoder, backbone: nn.Module, form: str, out: Path, *, tensors: int, channels: int
) -> dict[str, Any]:
    """Gather what there is to say of an exported backbone, which `out` holds.

    `backbone` is the network of the encoder, or one stream of it, which sees so many `channels`.
    """
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    run = read_run(encoder.source, encoder.step)
    return {
        "file": escaped(out.name),
        "format": form,
        "bytes": out.stat().st_size,
        "sha256": digest,
        "tensors": tensors,
        "network": {
            "arch": encoder.model.arch,
            "stem": encoder.model.stem,
            "width": encoder.model.width,
            "parameters": sum(p.numel() for n, p in backbone.named_parameters() if n[:3] != "fc."),
            "features": backbone.width if isinstance(backbone, TimmEncoder) else backbone.inplanes,
        },
        "input": _input(encoder, channels),
        "load": _loading(encoder, form, out.name, channels),
        "origin": _origin(encoder, run),
        "recipe": json_copy(encoder.recipe),
        "numbers": _numbers(run) if run else [],
        "versions": {name: version(name) for name in ("dilo", "torch")},
    }


def json_copy(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write values of a file such that JSON can hold them; nothing, of what it cannot."""
    try:
        copy: dict[str, Any] = json.loads(
            json.dumps(values, default=str, skipkeys=True, allow_nan=False)
        )
    except (ValueError, RecursionError):
        return {}
    return copy


def _numbers(run: Source) -> list[dict[str, Any]]:
    """List the metrics of the run, but those of single classes."""
    return [
        {
            "task": value.task,
            "name": escaped(value.label + _beside(value)),
            "value": value.value,
            "unit": value.unit,
            "interval": value.interval,
            "images": value.images,
        }
        for value in metric_values([run], [])
        if value.column == run.name and value.spec.section != "class"
    ]


def _beside(value: MetricValue) -> str:
    """Name the folder of a record that stands beside the first of its task."""
    folder = value.result.path.parent.name
    return f" ({folder})" if folder.startswith(f"{value.task}-") else ""


def write_card(card: Mapping[str, Any], out: Path) -> None:
    """Write ``OUT.card.json`` for programs, and ``OUT.card.md``, made of it, for people."""
    write_text(out.with_name(f"{out.name}.card.json"), json.dumps(card, indent=2) + "\n")
    write_text(out.with_name(f"{out.name}.card.md"), card_text(card))


def card_text(card: Mapping[str, Any]) -> str:
    """Write a card in Markdown; words of files stand in it as code, so that none is markup."""
    language, recipe = _recipe(card["recipe"])
    parts = {"File": {name: card[name] for name in ("bytes", "sha256", "tensors")}}
    parts |= {name.capitalize(): card[name] for name in ("network", "input", "origin")}
    return render(
        "dilo.eval.export",
        "card.md.j2",
        name=code(card["file"]),
        format=card["format"],
        parts={
            title: [(code(name), code(value)) for name, value in values.items()]
            for title, values in parts.items()
        },
        language=_LANGUAGES.get(card["format"], "python"),
        load="\n".join(card["load"]),
        numbers=[(code(n["task"]), code(n["name"]), _value(n)) for n in card["numbers"]],
        recipe_language=language,
        recipe=recipe,
        versions=", ".join(f"{name} {number}" for name, number in card["versions"].items()),
    )


def code(value: object) -> str:
    """Write a value as a span of code for a cell of a table: one line, no backticks, no bars."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"`{shown.replace('`', chr(39)).replace('|', chr(92) + '|')}`" if shown.strip() else "-"


def _value(number: Mapping[str, Any]) -> str:
    """Write a number with its unit, its 95 % interval and the number of images behind it."""
    text = f"{number['value']:.1f} {number['unit']}".strip()
    if number["interval"] is not None:
        low, high = number["interval"]
        text += f" ({low:.1f} to {high:.1f}"
        text += f", n = {number['images']:,})" if number["images"] else ")"
    return text


def _recipe(values: Mapping[str, Any]) -> tuple[str, str]:
    """Write a recipe as the file that trains by it; one that is not whole, as JSON."""
    try:
        recipe = recipe_from_dict(values, "the card")
    except RecipeError:
        recipe = None
    if recipe and json.loads(json.dumps(dataclasses.asdict(recipe))) == values:
        return "toml", recipe_text(recipe).rstrip()
    return "json", json.dumps(values, indent=2) if values else ""


def _input(encoder: Encoder, channels: int) -> dict[str, Any]:
    """Say what the network takes, and how an evaluation makes it of an image."""
    channel = {1: slice(0, 1), 2: slice(1, 3), 3: slice(0, 3)}[channels]
    mean, std = standardisation(encoder.space)
    short = round(encoder.size * 256 / 224)
    return {
        "size": encoder.size,
        "space": encoder.space,
        "colours": _COLOURS[encoder.space],
        "channels": list(range(3))[channel],
        "mean": list(mean[channel]),
        "std": list(std[channel]),
        "crop": f"short side to {short} px, antialiased, then the middle {encoder.size} px",
    }


def _origin(encoder: Encoder, run: Source | None) -> dict[str, Any]:
    """Say whose weights they are: by the names of the run and its file, not where they lie."""
    source = encoder.source.resolve()
    name = str(source.relative_to(run.folder.parent)) if run else source.name
    digests = {part: encoder.training.get(part) for part in ("images", "masks", "backgrounds")}
    return json_copy(
        {
            "checkpoint": escaped(name),
            "method": encoder.recipe.get("method"),
            "step": encoder.step,
            "epoch": encoder.training.get("epoch"),
            **digests,
            "mask_store": run.facts.get("mask_store") if run else None,
            "init": encoder.training.get("init"),
            "extended": run.facts.get("extended") if run else None,
        }
    )


def _loading(encoder: Encoder, form: str, name: str, channels: int) -> list[str]:
    """Show how the file is loaded, in a few lines."""
    arch = encoder.model.arch.removeprefix(TIMM)
    if form == "detectron2":
        return _config(encoder, name, arch)
    if form == "moco":
        return [f"python main_lincls.py -a {arch} --pretrained {shlex.quote(name)} IMAGENET"]
    plain = encoder.model.stem == "imagenet" and encoder.model.width == 1 and channels == 3
    if form == "timm" or arch not in ARCHITECTURES:
        make = f"timm.create_model({arch!r}, num_classes=0, in_chans={channels}"
        if encoder.model.width != 1:
            make += f", channels={tuple(int(encoder.model.width * n) for n in (64, 128, 256, 512))}"
        return ["import timm", "", f"network = {make}, checkpoint_path={name!r}).eval()"]
    if not plain:
        return [
            "from pathlib import Path",
            "from dilo.eval.models.encoder import load_encoder",
            "",
            f"encoder = load_encoder(Path({name!r}))  # encoder.features(RGB in [0, 1])",
        ]
    read = f"torch.load({name!r}, weights_only=True)"
    lines = ["import torch", "import torchvision", ""]
    if form == "safetensors":
        read, lines[2:] = f"load_file({name!r})", ["from safetensors.torch import load_file", ""]
    return [
        *lines,
        f"network = torchvision.models.{arch}(weights=None)",
        "network.fc = torch.nn.Identity()",
        f"network.load_state_dict({read})",
        "network.eval()",
    ]


def _config(encoder: Encoder, name: str, arch: str) -> list[str]:
    """Show the settings of detectron2, whose defaults are for another network."""
    mean, std = standardisation(encoder.space)
    scaled = [[round(255 * value, 3) for value in values] for values in (mean, std)]
    return [
        "MODEL:",
        f"  WEIGHTS: {json.dumps(name)}",
        f"  PIXEL_MEAN: {scaled[0]}",
        f"  PIXEL_STD: {scaled[1]}",
        "  RESNETS:",
        f"    DEPTH: {arch.removeprefix('resnet')}",
        "    STRIDE_IN_1X1: False",
        "INPUT:",
        '  FORMAT: "RGB"',
    ]
