"""Nearest neighbours as an evaluation: whose conventions, the vote, the record and its table."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dilo.eval.common.inputs import data_name, listing, same_images_warning
from dilo.eval.common.machine import Machine
from dilo.eval.common.outcomes import outcomes_record
from dilo.eval.common.results import Evaluation, provenance, skipped_images
from dilo.eval.features.extraction import width_of
from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.loading import Loader, Sources
from dilo.eval.models.encoder import Encoder, Layer, load_encoder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.selection import ImageSelection
from dilo.train.monitor.knn import knn_accuracy
from dilo.train.weights.layouts import nested_get

#: Where a recipe has the temperature of its method.
_TEMPERATURES = {"instdisc": "memory", "cmc": "memory", "moco": "moco", "simclr": "simclr"}
#: The temperature of training where no recipe says it: InstDisc's on ImageNet.
TEMPERATURE = 0.07
#: Classes that top-5 looks at.
FIRST = 5
#: Bytes of features that are held in memory; more go through a file.
IN_MEMORY = 2**31


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how the neighbours vote."""

    #: What of the network is compared, by cosine.
    layer: Layer
    #: Numbers of neighbours.
    ks: tuple[int, ...]
    #: A neighbour of similarity s weighs exp(s / temperature); None for that of training.
    temperature: float | None

    def temperature_for(self, recipe: Mapping[str, Any]) -> float:
        """Choose the temperature for a network by the recipe of its training, {} for none."""
        if self.temperature is not None:
            return self.temperature
        section = _TEMPERATURES.get(str(nested_get(recipe, "method")), "")
        value = nested_get(recipe, section, "temperature")
        return float(value) if isinstance(value, int | float) and value > 0 else TEMPERATURE


#: By name; the first is the default.
PROTOCOLS = {
    "dilo": Protocol("pooled", (1, 20, 200), 0.07),
    # Z. Wu et al., CVPR 2018, section 3.4; test.py of the released code.
    "instdisc": Protocol("embedding", (200,), None),
    # The CIFAR-10 notebook of the MoCo repository; its "feature" is what `fc` gives.
    "moco": Protocol("embedding", (200,), 0.1),
    # knn_predict of lightly, as its ImageNet benchmarks call it.
    "lightly": Protocol("pooled", (200,), 0.1),
    # WeightedKNNClassifier of solo-learn, which counts classes among the test labels; here, as
    # everywhere, the classes are those of the training images.
    "solo": Protocol("pooled", (20,), 0.07),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be classified, by which neighbours."""

    #: Not needed where both `train` and `test` are files of features.
    checkpoint: Path | None
    #: Class folders, or some of their images, or a file of features.
    train: Path | ImageSelection
    test: Path | ImageSelection
    machine: Machine
    protocol: str = "dilo"
    #: These override the protocol.
    layer: Layer | None = None
    ks: tuple[int, ...] = ()
    temperature: float | None = None
    #: Folder for files of features.
    cache: Path | None = None
    #: What the result is called; None for the name of the test images' folder.
    name: str | None = None


def evaluate(
    request: Request, say: Callable[[str], None], sources: Sources | None = None
) -> Evaluation:
    """Classify the test images by the vote of the most similar training images.

    Requests of the same images may share `sources`, which lists them once.
    """
    started = time.monotonic()
    preset = PROTOCOLS[request.protocol]
    layer = request.layer or preset.layer
    device, _ = request.machine.choose()
    sources = sources or Sources(request.train, request.test, say)
    train, test = sources.train, sources.test
    choose_ks(request.ks, preset.ks, len(train.labels))  # now, not after an hour of reading
    encoder = None
    if request.checkpoint is not None:
        machine = request.machine
        encoder = load_encoder(
            request.checkpoint, arch=machine.arch, size=machine.size, layer=layer
        )
    loader = Loader(request.machine, say)
    with tempfile.TemporaryDirectory(prefix="dilo-knn-") as scratch:
        bank, queries = (
            loader.load(encoder, source, _cache(encoder, source, request.cache, Path(scratch), say))
            for source in (train, test)
        )
        require_comparable(bank, queries, layer)
        ks = choose_ks(request.ks, preset.ks, len(bank.labels))
        temperature = request.temperature or preset.temperature_for(
            encoder.recipe if encoder else {}
        )
        record = knn_record(bank, queries, ks=ks, temperature=temperature, device=device)
    name = request.name or data_name(record["inputs"])
    record |= {"name": name, "protocol": request.protocol}
    record["skipped_k"] = [] if request.ks else [k for k in preset.ks if k not in ks]
    table = knn_table(record) + same_images_warning(record["inputs"])
    return Evaluation(record | provenance(started), table)


def _cache(
    encoder: Encoder | None,
    source: LabelledFolder | Features,
    cache: Path | None,
    scratch: Path,
    say: Callable[[str], None],
) -> Path | None:
    """Choose the folder of a file that features go through; None where memory will do."""
    if encoder is None or isinstance(source, Features):
        return None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        return cache
    size = 4 * len(source.names) * width_of(encoder)
    if size <= IN_MEMORY:
        return None
    say(f"{source.root}: {size / 1e9:.1f} GB of features go through {scratch}; --cache keeps them")
    return scratch


def choose_ks(ks: tuple[int, ...], preset: tuple[int, ...], images: int) -> tuple[int, ...]:
    """Check the k of the user against the number of training images, or choose those that fit."""
    if (least := max(ks, default=min(preset))) > images:
        raise DiloError(
            f"--k must be at most {images}, the training images that can be read, got {least}: "
            "give a smaller one"
        )
    return tuple(sorted(set(ks))) or tuple(k for k in preset if k <= images)


def require_comparable(bank: Features, queries: Features, layer: str) -> None:
    """Refuse features of two networks, or of two ways to look, or of another layer."""
    if differences := bank.source.differences(queries.source):
        raise DiloError(
            "features of --train and --test must come from one network with one setting, got "
            f"{'; '.join(differences)}: make one of them again"
        )
    if bank.source.layer != layer:
        raise DiloError(
            f"features must be {layer}, got {bank.source.layer} in the files: give "
            f"--layer {bank.source.layer}, or make files with --layer {layer}"
        )


def knn_record(
    bank: Features,
    queries: Features,
    *,
    ks: Sequence[int],
    temperature: float,
    device: torch.device,
) -> dict[str, Any]:
    """Let the neighbours vote, and gather what --json prints.

    Parameters
    ----------
    bank : Features
        Of the training images.
    queries : Features
        Of the images to classify, by the same classes.
    ks : sequence of int
        Numbers of neighbours, each between 1 and the rows of `bank`.
    temperature : float
        Similarities are divided by it before they are exponentiated.
    device : torch.device
        Where to compute.

    Returns
    -------
    dict
        Settings, counts and, for each k, accuracies in per cent and which images are right.
    """
    accuracies = knn_accuracy(
        bank.vectors,
        bank.labels,
        queries.vectors,
        queries.labels,
        ks=ks,
        temperature=temperature,
        classes=len(bank.classes),
        device=device,
    )
    source = queries.source
    return {
        "task": "knn",
        "checkpoint": source.checkpoint,
        "step": source.step,
        "size": source.size,
        "layer": source.layer,
        "temperature": temperature,
        "results": [
            {
                "k": accuracy.k,
                "top1": accuracy.top1,
                "top5": accuracy.top5 if has_top5(accuracy.k, len(bank.classes)) else None,
                "per_class": dict(zip(bank.classes, accuracy.per_class, strict=True)),
            }
            for accuracy in accuracies
        ],
        "outcomes": outcomes_record(
            queries.digest,
            queries.paths,
            {str(accuracy.k): accuracy.right.numpy() for accuracy in accuracies},
        ),
        "classes": len(bank.classes),
        "precision": source.precision,
        "inputs": {"train": listing(bank), "test": listing(queries)},
        "train": str(bank.root),
        "test": str(queries.root),
        "train_images": len(bank.labels),
        "test_images": len(queries.labels),
        "skipped": skipped_images([*bank.skipped, *queries.skipped]),
    }


def has_top5(k: int, classes: int) -> bool:
    """Tell whether the true class among the first five says more than what is known anyway.

    It does not where fewer than five classes can have a vote, as at k = 1, where top-5 is top-1;
    nor where all classes are among the five.
    """
    return k >= FIRST and classes > FIRST


def knn_table(record: Mapping[str, Any]) -> list[str]:
    """Write the table for people, with what guessing would give below it."""
    classes, images = record["classes"], record["train_images"]
    chance = 100 * FIRST / classes if classes > FIRST else None
    lines = [
        f"weighted kNN, {record['layer']}, temperature {record['temperature']:g}: "
        f"{record['test_images']} test images against {images} training images, {classes} classes",
        "     k    top-1    top-5",
        *(f"{r['k']:>6} {r['top1']:>6.1f} % {_cell(r['top5'])}" for r in record["results"]),
        f"chance {100 / classes:>6.1f} % {_cell(chance)}",
    ]
    if skipped := record.get("skipped_k"):
        lines.append(f"skipped: k = {', '.join(map(str, skipped))}, more than the training images")
    return lines


def _cell(value: float | None) -> str:
    """Write a share, or that there is none."""
    return f"{'-':>6}" if value is None else f"{value:>6.1f} %"
