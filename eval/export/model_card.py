"""The card of an exported trunk: what it is, what it takes, where it is from, what it scored."""

import dataclasses
import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from torch import nn

from dilo.eval.models.encoder import Encoder
from dilo.eval.records.quantities import Number, numbers
from dilo.eval.records.reading import Result, Source
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.textfiles import read_json
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
    encoder: Encoder, trunk: nn.Module, form: str, out: Path, *, tensors: int, channels: int
) -> dict[str, Any]:
    """Gather what there is to say of an exported trunk.

    Parameters
    ----------
    encoder : Encoder
        What was exported.
    trunk : Module
        Its network, or the half of a pair.
    form : str
        For whom.
    out : Path
        The file, written.
    tensors : int
        How many it holds.
    channels : {1, 2, 3}
        Of its input: luminance, colours, or all.

    Returns
    -------
    dict
        "file", "format", "bytes", "sha256", "tensors"; "network", "input", "load" (lines),
        "origin", "recipe" (empty where the checkpoint has none), "numbers" that `dilo-eval` found,
        as its report has them, "results" by task, "versions".
    """
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    network = {
        "arch": encoder.model.arch,
        "stem": encoder.model.stem,
        "width": encoder.model.width,
        "parameters": sum(p.numel() for n, p in trunk.named_parameters() if n[:3] != "fc."),
        "features": trunk.width if isinstance(trunk, TimmEncoder) else trunk.inplanes,
    }
    records = records_of(encoder.source, encoder.step)
    return {
        "file": escaped(out.name),
        "format": form,
        "bytes": out.stat().st_size,
        "sha256": digest,
        "tensors": tensors,
        "network": network,
        "input": _input(encoder, channels),
        "load": _loading(encoder, form, out.name, channels),
        "origin": _origin(encoder),
        "recipe": gist(encoder.recipe),
        "numbers": _numbers(records),
        "results": {name: result_gist(record) for name, record in records.items()},
        "versions": {name: version(name) for name in ("dilo", "torch")},
    }


def write_card(card: Mapping[str, Any], out: Path) -> tuple[Path, Path]:
    """Write a card for machines and for people, the second made of the first alone.

    Parameters
    ----------
    card : mapping
        What `card_of` gathered.
    out : Path
        The file that it is of.

    Returns
    -------
    tuple of (Path, Path)
        ``OUT.card.json`` and ``OUT.card.md``.
    """
    paths = (out.with_name(f"{out.name}.card.json"), out.with_name(f"{out.name}.card.md"))
    write_text(paths[0], json.dumps(card, indent=2) + "\n")
    write_text(paths[1], card_text(card))
    return paths


def card_text(card: Mapping[str, Any]) -> str:
    """Write a card in Markdown.

    Parameters
    ----------
    card : mapping
        What `card_of` gathered.

    Returns
    -------
    str
        Words of files and of their authors stand in it as code, so that none of them is markup.
    """
    lines = [f"# {code(card['file'])}", "", f"A frozen trunk, for {card['format']}.", ""]
    parts = {"File": {name: card[name] for name in ("format", "bytes", "sha256", "tensors")}}
    parts |= {name.capitalize(): card[name] for name in ("network", "input", "origin")}
    for title, values in parts.items():
        lines += [f"## {title}", "", *_table(values), ""]
    language = _LANGUAGES.get(card["format"], "python")
    lines += ["## Loading", "", f"```{language}", *card["load"], "```", "", "## Results", ""]
    if card["numbers"]:
        found = [
            f"| {code(n['task'])} | {code(n['name'])} | {_value(n)} |" for n in card["numbers"]
        ]
        lines += ["| by | | |", "|---|---|---|", *found, ""]
        lines += ["How each was measured, and what else was found, is in the card's JSON file.", ""]
    else:
        lines += ["`dilo-eval` has found none for this checkpoint.", ""]
    lines += ["## Recipe", "", *_recipe(card["recipe"])]
    made = ", ".join(f"{name} {number}" for name, number in card["versions"].items())
    return "\n".join([*lines, "", f"Written by {made}.", ""])


def code(value: object) -> str:
    """Write a value so that Markdown shows it as it is.

    Parameters
    ----------
    value : object
        Text or a number, or a list or dictionary of these.

    Returns
    -------
    str
        A span of code for a cell of a table: of one line, without backticks or bare pipes.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"`{shown.replace('`', chr(39)).replace('|', chr(92) + '|')}`" if shown.strip() else "-"


def _recipe(values: Mapping[str, Any]) -> list[str]:
    """Write a recipe as the file that trains by it; one that is not whole, as it is."""
    if not values:
        return ["The checkpoint does not say how it was trained."]
    try:
        recipe = recipe_from_dict(values, "the card")
    except RecipeError:
        return ["```json", json.dumps(values, indent=2), "```"]
    if json.loads(json.dumps(dataclasses.asdict(recipe))) != values:
        return ["```json", json.dumps(values, indent=2), "```"]
    return ["```toml", recipe_text(recipe).rstrip(), "```"]


def _table(values: Mapping[str, Any]) -> list[str]:
    """Write names and values as a table; what is nested, a row for each of its parts."""
    rows = ["| | |", "|---|---|"]
    for name, value in values.items():
        parts = value if isinstance(value, list) and value and isinstance(value[0], dict) else []
        if isinstance(value, dict):
            rows += [f"| {code(f'{name}.{k}')} | {code(part)} |" for k, part in value.items()]
        elif parts:
            rows += [f"| {code(name)} | {_listed(part)} |" for part in parts]
        else:
            rows += [f"| {code(name)} | {'-' if value is None else code(value)} |"]
    return rows


def _listed(values: object) -> str:
    """Write a small dictionary in one cell."""
    if not isinstance(values, dict):
        return code(values)
    return ", ".join(code(f"{name} {value}") for name, value in values.items())


def _numbers(records: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the numbers out of records, but those of single classes."""
    results = [Result(record["task"], Path(name), record) for name, record in records.items()]
    found = numbers([], [Source("card", Path(), is_run=False, results=results)])
    return [
        {
            "task": number.task,
            "name": escaped(number.label + _place(number)),
            "value": number.value,
            "unit": number.unit,
            "interval": number.ends,
            "images": number.images,
        }
        for number in found
        if number.quantity.place != "class"
    ]


def _place(number: Number) -> str:
    """Name the folder of a record that stands beside the first of its task."""
    folder = number.result.path.parent.name
    return f" ({folder})" if folder.startswith(f"{number.task}-") else ""


def _value(number: Mapping[str, Any]) -> str:
    """Write a number with its unit, its 95 % interval and the number of images behind it."""
    text = f"{number['value']:.1f} {number['unit']}".strip()
    if number["interval"] is not None:
        low, high = number["interval"]
        text += f" ({low:.1f} to {high:.1f}"
        text += f", n = {number['images']:,})" if number["images"] else ")"
    return text


def _input(encoder: Encoder, channels: int) -> dict[str, Any]:
    """Tell what the network takes, and how an evaluation makes it of an image."""
    seen = {1: slice(0, 1), 2: slice(1, 3), 3: slice(0, 3)}[channels]
    mean, std = standardisation(encoder.space)
    short = round(encoder.size * 256 / 224)
    return {
        "size": encoder.size,
        "space": encoder.space,
        "colours": _COLOURS[encoder.space],
        "channels": list(range(3))[seen],
        "mean": list(mean[seen]),
        "std": list(std[seen]),
        "crop": f"short side to {short} px, antialiased, then the middle {encoder.size} px",
    }


def _origin(encoder: Encoder) -> dict[str, Any]:
    """Tell whose weights they are: by the names of the run and its file, not where they lie."""
    run = run_of(encoder.source)
    source = encoder.source.resolve()
    name = str(source.relative_to(run.parent)) if run else source.name
    method = encoder.recipe.get("method")
    data = {part: encoder.origin.get(part) for part in ("images", "masks", "backgrounds")}
    said = {"method": method, "step": encoder.step, "epoch": encoder.origin.get("epoch"), **data}
    return {"checkpoint": escaped(name), **dict.fromkeys(said), **gist(said)}


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
    """Show what detectron2 must be told, whose own defaults are another network's."""
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


#: Levels of dictionaries and lists below a record, entries of each, and letters of a word.
_DEEPEST, _MOST_KEYS, _MOST_ITEMS, _LONGEST = 3, 100, 20, 200


#: What every record says of itself, and a card says once, or what is told by its number.
_LEFT_OUT = ("task", "checkpoint", "step", "versions", "unreadable", "inputs")


def gist(values: Mapping[Any, Any], *, deepest: int = _DEEPEST) -> dict[str, Any]:
    """Keep what is short and plain of a record, or of a recipe.

    Parameters
    ----------
    values : mapping
        Of anything at all.
    deepest : int, default 3
        Levels of dictionaries and lists that are kept.

    Returns
    -------
    dict
        Its finite numbers, short texts and None, and short lists and dictionaries of these;
        of an absolute path, the last name. JSON can hold it.
    """
    found = {}
    for name, value in list(values.items())[:_MOST_KEYS]:
        kept = _kept(value, deepest - 1)
        if isinstance(name, str) and len(name) <= _LONGEST and kept is not ...:
            found[escaped(name)] = kept
    return found


def _kept(value: object, deepest: int) -> Any:
    """Keep a value, or give an ellipsis for one that is not kept."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ...
    if isinstance(value, str):
        # Where a folder lies is nobody else's concern.
        value = PurePosixPath(value).name if value.startswith("/") else value
        return escaped(value) if len(value) <= _LONGEST else ...
    if deepest and isinstance(value, Mapping):
        return gist(value, deepest=deepest)
    if deepest and isinstance(value, list | tuple) and len(value) <= _MOST_ITEMS:
        kept = [_kept(item, deepest - 1) for item in value]
        return kept if ... not in kept else ...
    return ...


def run_of(checkpoint: Path) -> Path | None:
    """Find the run that a checkpoint is of.

    Parameters
    ----------
    checkpoint : Path
        A file.

    Returns
    -------
    Path or None
        The folder that has it in ``checkpoints``, or below ``eval``; None if there is none.
    """
    above = list(checkpoint.resolve().parents)[1:3]
    return next((folder for folder in above if (folder / "checkpoints").is_dir()), None)


def records_of(checkpoint: Path, step: int | None) -> dict[str, dict[str, Any]]:
    """Read what `dilo-eval` found for a checkpoint of a run.

    Parameters
    ----------
    checkpoint : Path
        The file.
    step : int or None
        Optimiser steps taken, where it says so.

    Returns
    -------
    dict of str to dict
        For each ``RUN/eval/TASK/NAME.json`` that speaks of this step, by its task: the record.
        A file that is none is passed over.
    """
    run, records = run_of(checkpoint), {}
    for path in sorted(run.glob("eval/*/*.json")) if run else []:
        try:
            record = read_json(path)
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or not isinstance(record.get("task"), str):
            continue
        if record.get("step", step) in (step, None):
            name = path.stem if path.parent.name == path.stem else f"{path.parent.name}/{path.stem}"
            records[escaped(name)] = record
    return records


def result_gist(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what is short of a record, but for what a card says once.

    Parameters
    ----------
    record : mapping
        As `records_of` gives it.

    Returns
    -------
    dict
        Its gist; of images that could not be read, their number.
    """
    said = {k: value for k, value in record.items() if k not in _LEFT_OUT}
    unreadable = record.get("unreadable")
    if isinstance(unreadable, list) and unreadable:
        said["unreadable"] = len(unreadable)
    return gist(said)
