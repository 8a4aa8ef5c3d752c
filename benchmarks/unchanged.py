"""Record what a rearrangement of the code must not change, and compare two such records.

    python benchmarks/unchanged.py record --images DIR --out before.json
    python benchmarks/unchanged.py compare before.json after.json

Of the first images of a folder, all on the CPU in single precision, as digests:

    stores    every array of stores of masks (rbd, consensus with grabcut, unet) and of backgrounds
    views     64 views an epoch as a method gets them: with neither colours nor pastes, and so the
              crops, pixel by pixel; all of them pasted, on every background, and their masks; then
              with everything that is drawn
    doors     masks by `MaskStore`, pastes by `LoadWithMask` and `CopyPaste`
    runs      each method: every loss, whatever else a step records, and the last checkpoint
    saliency  the same of `dilo-train saliency`, with pastes and a teacher

Every run is cut after its first step and resumed. Records of two machines, or of two versions of
torch, may differ without a fault. Programs are asked by their command lines, and their files read
by h5py, json and torch: of dilo's modules, only those are named that other people's code imports.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from dilo.pipeline.store import MaskStore
from dilo.train.copypaste import CopyPaste
from dilo.train.masked import LoadWithMask

#: A check of the other arrays, not a result; a shard has another one of the whole file.
CHECKS = ("crc32",)
#: Numbers of metrics.jsonl besides the loss; not those that tell a speed.
NUMBERS = (
    *("lr", "positive", "negative", "accuracy", "l0", "bce", "ssim", "iou"),
    *("paste_rate", "skipped_pastes"),
)
#: What a checkpoint has of tensors.
LEARNT = ("state_dict", "student", "optimizer")

#: A method that digests what it sees; `naive` wants the masks of the views too.
WITNESS = """
import hashlib, os
from dilo.train.methods.naive import Naive

class Witness(Naive):
    def forward(self, batch):
        with open(os.environ["WITNESSED"], "a") as file:
            for name, tensors in ("views", batch.views), ("masks", batch.masks):
                for tensor in tensors:
                    digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
                    print(f"step {batch.step} {name}", *tensor.shape, digest, file=file)
            print(f"step {batch.step} samples", *batch.samples.tolist(), file=file)
        return super().forward(batch)
"""
KINDS = ("gray=0.2", "crops=0.3", "textures=0.2", "noise=0.3")
PASTES = ("paste.probability=0.6", *(f"paste.backgrounds.{kind}" for kind in KINDS))
#: Stores of backgrounds, given only where a recipe pastes on them.
BACKGROUNDS = ("--backgrounds", "crops", "--backgrounds", "textures")
#: Views by name: what is set, and the backgrounds for it.
VIEWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "crops": (("views.order=[]", "paste.probability=0"), ()),
    "pastes": (("views.order=[]", *PASTES, "paste.probability=1"), BACKGROUNDS),
    "draws": (PASTES, BACKGROUNDS),
}
#: Runs by name: recipe, what else is set, other options.
RUNS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "moco-v1": ("moco-v1-small", (), ()),
    "moco-v2": ("moco-v2-small", PASTES, BACKGROUNDS),
    "moco-v2 in parts": ("moco-v2-small", ("model.bn_groups=1",), ("--accumulate", "2")),
    "instdisc": ("instdisc-small", (), ()),
    "instdisc by nce": ("instdisc-small", ("memory.loss=nce", "memory.negatives=16"), ()),
    "cmc": ("cmc-small", (), ()),
    "simclr": ("simclr-small", (), ()),
    "simclr by lars": ("simclr-small", ("optimizer.name=lars", "optimizer.warmup=0.5"), ()),
    "supervised": ("supervised-small", (), ()),
    "naive": ("naive-small", (), ()),
}
SALIENCY = ("paste.probability=0.5", "paste.backgrounds.crops=1")

#: A part of a record: names, and digests or numbers, or parts again.
Part = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where things lie while a record is made, and how many images it is of."""

    images: Path
    limit: int
    folder: Path

    def call(self, module: str, *words: object, **environment: str) -> None:
        """Run a program of dilo; if it fails, say what it said, and end."""
        paths = filter(None, [str(self.folder / "plugin"), os.environ.get("PYTHONPATH")])
        settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **environment}
        command = [sys.executable, "-m", f"dilo.{module}", *map(str, words)]
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | settings, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")

    def prep(self, command: str, name: str, *words: object) -> None:
        """Make a store of several shards."""
        chosen = ("--images", self.images, "--limit", self.limit, "--out", name)
        self.call("pipeline", command, *chosen, "--shard-size", 12, "--workers", 1, *words)

    def train(self, name: str, sets: Iterable[str], *words: object, **environment: str) -> Path:
        """Train for two epochs, the first step by itself; give the folder of the run."""
        keys = ("optimizer.batch=8", "optimizer.epochs=2", *sets)
        options: list[object] = ["--images", self.images, "--out", name]
        options += ["--device", "cpu", "--precision", "fp32", "--workers", 0, "--log-every", 1]
        options += [word for key in keys for word in ("--set", key)]
        for stop in (["--max-minutes", 1e-9], []):
            self.call("train", *words, *options, *stop, **environment)
        return self.folder / name


def digest(array: Any) -> str:
    """Digest an array with its type and shape; strings of any length as one text."""
    array = np.asarray(array)
    plain = array.dtype != object
    content = np.ascontiguousarray(array).tobytes() if plain else repr(array.tolist()).encode()
    return f"{array.dtype} {array.shape} {hashlib.sha256(content).hexdigest()}"


def read_store(folder: Path) -> Part:
    """Digest the arrays of each shard of a store."""
    record: Part = {}
    for number, path in enumerate(sorted(folder.rglob("*.h5"))):
        with h5py.File(path) as file:
            names = [name for name in file if name not in CHECKS]
            record |= {f"shard {number} {name}": digest(file[name][()]) for name in names}
    return record


def tensors(tree: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Name the tensors of nested dictionaries."""
    if isinstance(tree, torch.Tensor):
        yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from tensors(value, f"{name}.{key}")


def read_run(folder: Path) -> Part:
    """Read the numbers of each step to the last bit, and digest the last checkpoint."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    record: Part = {
        name: [float(line[name]).hex() for line in lines]
        for name in ("loss", *NUMBERS)
        if name in lines[0]
    }
    last = max((folder / "checkpoints").glob("*.pt"))
    content = torch.load(last, map_location="cpu", weights_only=True)
    for part in filter(content.__contains__, LEARNT):
        values = {key: digest(value.numpy()) for key, value in tensors(content[part], part)}
        record[f"{part} names"] = digest(list(values))
        record[f"{part} values"] = digest(list(values.values()))
    return record


def random_weights(place: Place) -> Path:
    """Make weights of a unet that no training decides, in the form of those that one leaves."""
    run = train_saliency(place, "form", ())
    weights = torch.load(run / "network.pth", weights_only=True)
    chance = torch.Generator().manual_seed(0)
    for value in filter(torch.is_floating_point, weights.values()):
        scale = 1 if value.ndim < 2 else (12 / value[0].numel()) ** 0.5
        value.copy_(scale * (torch.rand(value.shape, generator=chance) - (value.ndim > 1) / 2))
    torch.save(weights, place.folder / "unet.pth")
    return place.folder / "unet.pth"


def train_saliency(place: Place, name: str, sets: Iterable[str], *words: str) -> Path:
    """Train a small network for saliency on the masks by rbd."""
    recipe = ("--truth", "rbd", "--recipe", "label-free-small")
    return place.train(name, ("noise.trust_from=0", *sets), "saliency", *recipe, *words)


def record_stores(place: Place) -> Part:
    """Make the stores, of which the other parts use some, and digest them."""
    place.prep("masks", "rbd")
    place.prep("masks", "consensus", "--method", "consensus", "--refine", "grabcut")
    place.prep("backgrounds", "crops", "--masks", "rbd")
    place.prep("backgrounds", "textures", "--kind", "textures")
    weights = ("--weights", random_weights(place), "--device", "cpu")
    place.prep("masks", "unet", "--method", "unet", *weights)
    names = ("rbd", "consensus", "unet", "crops", "textures")
    return {name: read_store(place.folder / name) for name in names}


def record_views(place: Place) -> Part:
    """Train by a method that digests its views; an epoch is two views of each image."""
    info = place.folder / "plugin" / "witness-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "witness.py").write_text(WITNESS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: witness\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dilo.methods]\nwitness = witness:Witness\n")
    record: Part = {}
    for name, (sets, stores) in VIEWS.items():
        seen = place.folder / f"{name}.txt"
        words = ("--recipe", "moco-v2-small", "--masks", "rbd", *stores)
        place.train(f"views {name}", ("method=witness", *sets), *words, WITNESSED=str(seen))
        record[name] = seen.read_text().splitlines()
    return record


def record_doors(place: Place) -> Part:
    """Do what other people's code does: read masks, and paste by torch's own generator."""
    store = MaskStore(place.folder / "rbd")
    names = list(store.names)
    load = LoadWithMask(place.images, store)
    kinds: dict[str | Path, float] = {"gray": 1, "noise": 1, place.folder / "crops": 1}
    paste = CopyPaste(0.7, backgrounds=kinds)
    torch.manual_seed(0)
    pasted = [digest(paste(load(place.images / name))) for name in names]
    return {"masks": [digest(store[name]) for name in names], "pastes": pasted}


def record_runs(place: Place) -> Part:
    """Train by each method."""
    record: Part = {}
    for name, (recipe, sets, options) in RUNS.items():
        words = ("--recipe", recipe, "--masks", "rbd", *options)
        record[name] = read_run(place.train(name, sets, *words))
    return record


def record_saliency(place: Place) -> Part:
    """Train a network for saliency."""
    return read_run(train_saliency(place, "saliency", SALIENCY, *BACKGROUNDS[:2]))


PARTS: dict[str, Callable[[Place], Part]] = {
    "stores": record_stores,
    "views": record_views,
    "doors": record_doors,
    "runs": record_runs,
    "saliency": record_saliency,
}


def record(images: Path, limit: int, only: Iterable[str]) -> Part:
    """Record some parts; the stores are always made, for the others need them."""
    torch.set_num_threads(1)
    found: Part = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(images.absolute(), limit, Path(folder))
        for name in PARTS:
            if name in only or name == "stores":
                print(name, file=sys.stderr)
                found[name] = PARTS[name](place)
    return found


def flat(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Name each value of a record."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flat(value, f"{name} / {key}" if name else key)
    else:
        yield name, tree


def differences(before: Part, after: Part) -> list[str]:
    """Name what differs between two records, and what only one of them has."""
    old, new = dict(flat(before)), dict(flat(after))
    lines = [f"differs: {name}" for name in old if name in new and old[name] != new[name]]
    lines += [f"only before: {name}" for name in old if name not in new]
    return lines + [f"only after: {name}" for name in new if name not in old]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("record", help="write a record")
    make.add_argument("--images", type=Path, required=True)
    make.add_argument("--limit", type=int, default=32, help="of so many images (default: 32)")
    make.add_argument("--out", type=Path, required=True)
    make.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts")
    against = commands.add_parser("compare", help="name what differs; exit with 1 if anything does")
    against.add_argument("before", type=Path)
    against.add_argument("after", type=Path)
    against.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts")
    asked = parser.parse_args()
    if asked.command == "record":
        found = record(asked.images, asked.limit, asked.only)
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    two = [json.loads(path.read_text()) for path in (asked.before, asked.after)]
    chosen = [{name: part for name, part in one.items() if name in asked.only} for one in two]
    lines = differences(*chosen) if any(chosen) else ["neither record has any of these parts"]
    print("\n".join(lines) or f"the same: {len(dict(flat(chosen[0])))} values")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
