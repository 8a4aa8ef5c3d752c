"""The answers of the proof: what networks say of the composed pictures, compared and drawn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from programs import call
from proof_pictures import Composed
from torch import Tensor
from torch.nn.functional import linear

from dilo.eval.common.intervals import mean_interval
from dilo.eval.common.outcomes import mean_difference
from dilo.eval.common.panels import write_figure
from dilo.eval.common.plots import COLOURS
from dilo.eval.common.tables import text_table
from dilo.eval.features.features import Features
from dilo.eval.features.file import open_features, write_features
from dilo.eval.models.classifier import load_classifier
from dilo.pipeline.images.names import Names
from dilo.train.monitor.knn import knn_scores
from dilo.train.monitor.nearest import nearest

#: Neighbours that vote, and the temperature of their vote, as in dilo-eval knn.
K, TEMPERATURE = 20, 0.07
#: What neighbours and linear layers learn from: which pictures, and whose class is asked for.
BANKS = (("lying", "object"), ("fair", "object"), ("fair", "background"))
#: What is told of retrieval across backgrounds, by its key in the record.
RANKS = {"top1": "first", "top10": "among ten", "median_rank": "median rank"}
#: The networks that are compared, in the order of the tables.
NETWORKS = ("untrained", "without paste", "with paste")


def network_folder(out: Path, network: str, seed: int) -> Path:
    """Name the folder of a network."""
    return out / "networks" / f"{network.replace(' ', '-')}-{seed}"


def checkpoint(out: Path, network: str, seed: int) -> Path:
    """Name the run of a network; the untrained one is what a run began with."""
    if network == "untrained":
        return network_folder(out, "without paste", seed) / "checkpoints" / "step-00000000.pt"
    return network_folder(out, network, seed)


def question(
    weights: Path, folder: Path, pictures: Path, composed: Mapping[str, Sequence[Composed]]
) -> None:
    """Make a network's features of all pictures, and train linear layers on them."""
    features = folder / "features"
    features.mkdir(parents=True, exist_ok=True)
    if not (features / "all.h5").exists():
        call(
            *("dilo-eval", "features", "--checkpoint", weights, "--images", pictures),
            *("--out", features / "all.h5", "--workers", 0),
        )
    everything = open_features(features / "all.h5")
    for kind, of in BANKS:
        layer = folder / f"linear-{kind}-{of}"
        bank, queries = features / f"{kind}-{of}.h5", features / f"test-{of}.h5"
        if not (layer / "linear-fast.json").exists():
            write_features(bank, select(everything, composed[kind], kind, of))
            write_features(queries, select(everything, composed["test"], "test", of))
            call(
                *("dilo-eval", "linear", "--fast", "--checkpoint", weights),
                *("--train", bank, "--test", queries, "--out", layer),
            )


def question_all(
    test: Path,
    out: Path,
    pictures: Mapping[str, Sequence[Composed]],
    partners: Mapping[str, str],
    seeds: Sequence[int],
) -> dict[str, list[dict[str, Tensor]]]:
    """Question all networks: what each answers, seed by seed."""
    by_network: dict[str, list[dict[str, Tensor]]] = {network: [] for network in NETWORKS}
    for seed in seeds:
        for network in NETWORKS:
            folder = network_folder(out, network, seed)
            question(checkpoint(out, network, seed), folder, out / "pictures", pictures)
            by_network[network].append(answers(folder, pictures["test"], partners))
        ranks = retrieve(test, out, seed)
        for network in NETWORKS:
            by_network[network][-1] |= ranks[network]
    return by_network


def retrieve(test: Path, out: Path, seed: int) -> dict[str, dict[str, Tensor]]:
    """Look for the photographs of the test by their foregrounds on other backgrounds."""
    folder = out / f"retrieval-{seed}"
    record = folder / "backgrounds-retrieval.json"
    if not record.exists():
        weights = [f"{network}={checkpoint(out, network, seed)}" for network in NETWORKS]
        call(
            *("dilo-eval", "backgrounds", "--retrieval", "--images", test),
            *("--masks", out / "photographs" / "test" / "masks", "--workers", 0, "--out", folder),
            *(word for one in weights for word in ("--checkpoint", one)),
        )
    return {
        result["name"]: {
            f"retrieval, {words}": torch.tensor([result[key]["value"]], dtype=torch.float64)
            for key, words in RANKS.items()
        }
        for result in json.loads(record.read_text())["results"]
    }


def select(everything: Features, pictures: Sequence[Composed], kind: str, of: str) -> Features:
    """Take the features of some pictures, with the classes of their objects or backgrounds."""
    rows = {path: row for row, path in enumerate(everything.paths)}
    order = torch.tensor([rows[f"{kind}/{picture.path}"] for picture in pictures])
    classes = tuple(sorted({picture.label(of) for picture in pictures}))
    labels = torch.tensor([classes.index(picture.label(of)) for picture in pictures])
    return replace(
        everything,
        vectors=everything.vectors[0 : len(everything.labels)][order],
        labels=labels,
        classes=classes,
        paths=Names([picture.path for picture in pictures]),
    )


def answers(
    folder: Path, pictures: Sequence[Composed], partners: Mapping[str, str]
) -> dict[str, Tensor]:
    """Tell which test pictures a network answers right, by what it was asked, and by whom.

    Returns
    -------
    dict from str to Tensor of shape (M,), float64
        1 where the answer is the class asked for, else 0; NaN where the question is void: whether
        it follows the background, where that stands for the very class of the object.
    """
    hits = {}
    for kind, of in BANKS:
        bank, queries = (
            open_features(folder / "features" / f"{part}-{of}.h5") for part in (kind, "test")
        )
        truth = queries.labels
        stands_for = {background: label for label, background in partners.items()}
        partner = torch.tensor(
            [bank.classes.index(stands_for[picture.label("background")]) for picture in pictures]
        )
        layer = load_classifier(folder / f"linear-{kind}-{of}")
        vectors = queries.vectors[0 : len(truth)]
        predictions = {
            "kNN": vote(bank, queries),
            "linear": linear(vectors, layer.weight, layer.bias).argmax(1),
        }
        for method, prediction in predictions.items():
            hits[f"{method} on {kind} pictures, {of}"] = (prediction == truth).double()
            if kind == "lying":
                follows = (prediction == partner).double()
                follows[partner == truth] = torch.nan
                hits[f"{method} on lying pictures, background"] = follows
    return hits


def vote(bank: Features, queries: Features) -> Tensor:
    """Let the neighbours vote, as dilo-eval knn does."""
    k = min(K, len(bank.labels))
    similarities, rows = nearest(bank.vectors, queries.vectors, k=k)
    scores = knn_scores(
        similarities, bank.labels[rows], temperature=TEMPERATURE, classes=len(bank.classes)
    )
    return scores.argmax(1)


def compare(
    question: str, by_network: Mapping[str, Sequence[Mapping[str, Tensor]]]
) -> dict[str, Any]:
    """Average the answers to a question, and say how far the paste moves them.

    The interval over images is of the differences image by image, averaged over the seeds; that
    over seeds of the seeds' own differences, by Student's t.
    """
    # Of shape (seeds, images); of a number that is not of single images, (seeds, 1).
    hits = {
        name: torch.stack([one[question] for one in seeds]) for name, seeds in by_network.items()
    }
    valid = ~hits["untrained"][0].isnan()
    scale = 1 if question.startswith("retrieval") else 100
    shares = {name: (scale * share[:, valid].mean(1)).tolist() for name, share in hits.items()}
    differences = (hits["with paste"] - hits["without paste"])[:, valid]
    by_seed = (scale * differences.mean(1)).tolist()
    images = (
        mean_difference(differences.mean(0).double().numpy()) if differences.shape[1] > 1 else None
    )
    return {
        "question": question,
        "networks": {
            name: {"mean": float(np.mean(values)), "seeds": values}
            for name, values in shares.items()
        },
        "difference": {
            "mean": float(np.mean(by_seed)),
            "seeds": by_seed,
            "interval_over_images": images and [images.low, images.high],
            "interval_over_seeds": [*mean_interval(by_seed)] if len(by_seed) > 1 else None,
        },
    }


def table(measures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lay out the numbers, a line a question."""
    rows = []
    for measure in measures:
        difference = measure["difference"]
        rows.append(
            [
                measure["question"],
                *(f"{network['mean']:.1f}" for network in measure["networks"].values()),
                f"{difference['mean']:+.1f}",
                interval_words(difference["interval_over_images"]),
                interval_words(difference["interval_over_seeds"]),
            ]
        )
    head = ["mean over seeds", *NETWORKS, "difference", "over images", "over seeds"]
    return text_table(head, rows)


def interval_words(interval: Sequence[float] | None) -> str:
    """Write an interval."""
    return "-" if interval is None else f"{interval[0]:+.1f} to {interval[1]:+.1f}"


def draw_results(measures: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw a line a question, a dot a seed, and a bar at the mean of each network."""
    shares = [measure for measure in measures if "median rank" not in measure["question"]]
    figure = Figure(figsize=(8, 0.6 + 0.45 * len(shares)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for place, (network, colour) in enumerate(zip(NETWORKS, COLOURS, strict=False)):
        for row, measure in enumerate(shares):
            height = row + 0.2 * (place - 1)
            values = measure["networks"][network]
            label = network if row == 0 else None
            axes.plot(values["seeds"], [height] * len(values["seeds"]), "o", ms=4, color=colour)
            axes.plot([values["mean"]], [height], "|", ms=12, color=colour, label=label)
    axes.set_yticks(range(len(shares)), [measure["question"] for measure in shares])
    axes.invert_yaxis()
    axes.set_xlabel("%")
    axes.grid(axis="x", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    write_figure(figure, path)
