"""From checkpoints and photographs to retrieval across backgrounds: record, table and picture."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.eval.backgrounds.classify import RunOptions
from dilo.eval.backgrounds.queries import Queries, QueryRecipe, collate
from dilo.eval.backgrounds.ranks import (
    Ranks,
    chance,
    heading,
    paired_ranks,
    rank_metrics,
    rank_photographs,
    table,
)
from dilo.eval.backgrounds.retrieval_figure import Retrieval, retrieval_figure
from dilo.eval.backgrounds.variations import evenly_spaced, select
from dilo.eval.common.inputs import data_name, listing
from dilo.eval.common.machine import Machine
from dilo.eval.common.panels import write_figure
from dilo.eval.common.results import (
    Evaluation,
    provenance,
    record_head,
    say_skipped,
    settled_folder,
    skipped_images,
    write_result,
)
from dilo.eval.features.extraction import prepare, require_finite, run_backbone
from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder, any_folder
from dilo.eval.features.loading import Loader
from dilo.eval.models.encoder import Encoder, load_encoder
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped, find_rows
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.store import MaskStore
from dilo.train.data.crop import compile_crops

if TYPE_CHECKING:  # an extra: who draws nothing needs none of it
    from matplotlib.figure import Figure

Say = Callable[[str], None]

TASK = "backgrounds-retrieval"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be evaluated, and where the result goes."""

    #: Name and file, or run, of each checkpoint; names differ.
    checkpoints: Sequence[tuple[str, Path]]
    #: The photographs, in class folders or not: a folder, or some of its images.
    images: Path | ImageSelection
    #: The store of their masks.
    masks: Path
    recipe: QueryRecipe
    #: Paths of the images whose queries are shown; none for some, spread evenly.
    query: Sequence[str] = ()
    #: So many images are asked for at most, spread evenly; None for all.
    limit: int | None = None
    #: Folder of the results; made if it is missing.
    out: Path
    #: Whether nobody named it, and it is in the folder of a run.
    of_run: bool = False
    #: What to call the result; None for the name of the images' folder.
    name: str | None = None
    machine: Machine


@dataclass(frozen=True, eq=False)
class QueryFeatures:
    """Queries of one size, as the networks of this size see them."""

    #: Position in the folder of each of the Q images asked for.
    positions: list[int]
    #: The same of what lent the background of its N queries; -1 for none; of shape (Q, N), int64.
    donors: Tensor
    #: By the name of the network; each of shape (Q, N, D), float32.
    vectors: dict[str, Tensor]
    #: Positions of images whose queries could not be made, and why.
    failures: list[tuple[int, str]]


def evaluate(request: Request, say: Say) -> Evaluation:
    """Look for each photograph by its foreground alone, and write record, table and picture.

    Parameters
    ----------
    request : Request
        What to do.
    say : callable
        Writes a line for people.

    Returns
    -------
    Evaluation
        The content of backgrounds-retrieval.json, and the table.

    Raises
    ------
    DiloError
        If something cannot be read, or no query can be made.
    """
    started = time.monotonic()
    machine, recipe = request.machine, request.recipe
    device, _ = machine.choose()
    encoders = {
        name: load_encoder(path, arch=machine.arch, size=machine.size)
        for name, path in request.checkpoints
    }
    folder, store = any_folder(request.images, say=say), MaskStore(request.masks)
    _require_several(folder, recipe)
    find_rows(request.query, folder.names, folder.root)
    selection = select(folder, store)
    for reason, count in Counter(reason for _, reason in selection.skipped).items():
        say(f"{folder.root}: {count} of {len(folder.names)} images give no query: {reason}")
    compile_crops(say)
    loader = Loader(machine, say)
    banks = {name: loader.load(encoder, folder) for name, encoder in encoders.items()}
    positions = evenly_spaced(selection.positions, request.limit)
    batch = max(1, machine.batch // recipe.questions)
    running = RunOptions(batch=batch, workers=machine.workers, device=device)
    parts = [
        query_features(
            {name: encoder for name, encoder in encoders.items() if encoder.size == size},
            Queries(folder, store, selection, positions, recipe, size),
            running,
            say,
        )
        for size in sorted({encoder.size for encoder in encoders.values()})
    ]
    retrieval = rank_queries(folder, recipe, banks, parts, device)
    failures = {
        escaped(folder.names[position]): reason
        for part in parts
        for position, reason in part.failures
    }
    say_skipped([*failures.items()], say, "photographs give no query", f"{TASK}.json")
    unread = {path: reason for bank in banks.values() for path, reason in bank.unreadable}
    record = {
        **record_head(TASK, encoders.values()),
        "inputs": {
            "images": listing(folder),
            "masks": {"folder": str(request.masks.resolve()), "digest": store.fingerprint},
        },
        "images": str(folder.root),
        "seed": recipe.seed,
        "crop": recipe.crop,
        "backgrounds": recipe.background_words,
        "same": recipe.same,
        "questions": recipe.questions,
        **retrieval_results(encoders, retrieval),
        "skipped": skipped_images((dict(selection.skipped) | unread | failures).items()),
        **provenance(started),
    }
    size = next(iter(encoders.values())).size
    shown = Queries(folder, store, selection, np.array(retrieval.positions), recipe, size)
    figure = retrieval_figure(shown, retrieval, request.query)
    return _write(request, record, figure, per_image(retrieval), say)


def _require_several(folder: LabelledFolder, recipe: QueryRecipe) -> None:
    """Refuse images that are all of one photograph, which nobody could miss."""
    if len(np.unique(recipe.photographs(folder.names))) < 2:
        each = "folders" if recipe.same == "folder" else "images"
        raise DiloError(
            f"--images {folder.root} must hold at least 2 {each}, each of another photograph, got "
            "1: there is nothing to be told apart"
        )


def _write(
    request: Request, record: dict[str, Any], figure: "Figure", ranks: str, say: Say
) -> Evaluation:
    """Write record, tables and picture."""
    record["name"] = request.name or data_name(record["inputs"])
    lines = [heading(record), *table(record)]
    out = settled_folder(request.out, record, say, of_run=request.of_run)
    write_text(out / "table.txt", "\n".join(lines) + "\n")
    write_text(out / "per-image.csv", ranks)
    write_figure(figure, out / "retrieval.png")
    write_result(out, record)  # last: it says that the others are there
    say(
        f"{out}: {TASK}.json has all numbers, per-image.csv each rank, retrieval.png shows some "
        "queries"
    )
    return Evaluation(record, lines)


def query_features(
    encoders: Mapping[str, Encoder], queries: Queries, running: RunOptions, say: Say
) -> QueryFeatures:
    """Show queries to networks of their size."""
    positions: list[int] = []
    failures: list[tuple[int, str]] = []
    donors: list[Tensor] = []
    vectors: dict[str, list[Tensor]] = {name: [] for name in encoders}
    for encoder in encoders.values():
        prepare(encoder, running.device)
    with Progress(len(queries), "images asked for", say) as progress:
        for part, query, reasons in running.batches(queries, collate):
            if query is not None:
                pictures = query.pictures.flatten(0, 1).to(running.device)
                for name, encoder in encoders.items():
                    features = run_backbone(encoder, pictures, "fp32").cpu()
                    require_finite(encoder, features)
                    vectors[name].append(features.view(*query.donors.shape, -1))
                donors.append(query.donors)
            positions += part
            failures += reasons
            progress.advance(len(part) + len(reasons))
    if not positions:
        position, reason = failures[0]
        raise DiloError(
            f"{queries.folder.root} must have photographs that give a query, but none of "
            f"{len(failures)} does, the first being {escaped(queries.folder.names[position])} "
            f"({reason}): check files and masks"
        )
    joined = {name: torch.cat(parts) for name, parts in vectors.items()}
    return QueryFeatures(positions, torch.cat(donors), joined, failures)


def rank_queries(
    folder: LabelledFolder,
    recipe: QueryRecipe,
    banks: Mapping[str, Features],
    parts: Sequence[QueryFeatures],
    device: torch.device,
) -> Retrieval:
    """Rank all photographs for the queries that every network was shown."""
    position_of = {path: position for position, path in enumerate(folder.names)}
    candidates = {
        name: np.array([position_of[path] for path in bank.paths]) for name, bank in banks.items()
    }
    shared = set.intersection(
        *(set(part.positions) for part in parts), *(set(p.tolist()) for p in candidates.values())
    )
    photographs = recipe.photographs(folder.names)
    ranks: dict[str, Ranks] = {}
    donors: dict[str, NDArray[np.int64]] = {}
    for part in parts:
        rows = [row for row, position in enumerate(part.positions) if position in shared]
        queried = photographs[[part.positions[row] for row in rows]]
        shape = (len(rows), recipe.questions)
        for name, vectors in part.vectors.items():
            own, first = rank_photographs(
                banks[name].vectors[:],
                torch.from_numpy(photographs[candidates[name]]),
                vectors[rows].flatten(0, 1),
                torch.from_numpy(queried).repeat_interleave(recipe.questions),
                device,
            )
            images = candidates[name][first.view(shape).numpy()]
            ranks[name] = Ranks(own.view(shape).numpy(), images, queried)
            donors[name] = part.donors[rows].numpy()
    return Retrieval(
        folder=folder,
        photographs=photographs,
        candidates=next(iter(candidates.values())),
        positions=sorted(shared),
        ranks={name: ranks[name] for name in banks},
        donors=donors,
    )


def per_image(retrieval: Retrieval) -> str:
    """Write the rank of each query's own photograph by each network, a line a query."""
    names = [escaped(retrieval.folder.names[position]) for position in retrieval.positions]
    ranks = np.stack([ranks.own for ranks in retrieval.ranks.values()], axis=2)
    lines = [
        (name, question, *own)
        for name, of_image in zip(names, ranks.tolist(), strict=True)
        for question, own in enumerate(of_image)
    ]
    return csv_text(("image", "question", *retrieval.ranks), lines)


def retrieval_results(encoders: Mapping[str, Encoder], retrieval: Retrieval) -> dict[str, Any]:
    """Gather what was found."""
    photographs, first = retrieval.photographs, next(iter(retrieval.ranks))
    candidates = photographs[retrieval.candidates]
    return {
        "candidates": len(candidates),
        "photographs": len(np.unique(candidates)),
        "chance": chance(
            retrieval.ranks[first].photographs, photographs, retrieval.donors[first], candidates
        ),
        "results": [
            {
                "name": name,
                "checkpoint": str(encoder.source),
                "step": encoder.step,
                "size": encoder.size,
                "images": len(retrieval.positions),
                **rank_metrics(retrieval.ranks[name], photographs, retrieval.donors[name]),
            }
            for name, encoder in encoders.items()
        ],
        "pairs": paired_ranks(retrieval.ranks),
    }
