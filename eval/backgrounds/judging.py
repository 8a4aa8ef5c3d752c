"""Candidates before the pictures: of a folder with masks, or of the challenge."""

from collections.abc import Callable, Generator, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dilo.eval.backgrounds.adversary import BACKGROUNDS
from dilo.eval.backgrounds.answers import Answers, Asked, ask
from dilo.eval.backgrounds.candidate import Candidate
from dilo.eval.backgrounds.challenge import Challenge, Frames
from dilo.eval.backgrounds.draws import MIXED
from dilo.eval.backgrounds.variations import Pieces, Variations, collate, pictures, spread
from dilo.eval.folders import LabelledFolder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped
from dilo.train.data import evaluation
from dilo.train.data.loader import in_order, make_loader, read_through


@dataclass(frozen=True, kw_only=True)
class Running:
    """How pictures are read and shown.

    Attributes
    ----------
    batch : int
        Images at once.
    workers : int
        Processes that read; 0 reads in this one.
    device : torch.device
        Where the candidates are.
    progress : callable, optional
        Called after each batch with the number of images done since the last call.
    """

    batch: int = 64
    workers: int = 0
    device: torch.device
    progress: Callable[[int], object] | None = None

    def batches(self, data: Dataset[Any], gather: Callable[..., Any]) -> Generator[Any]:
        """Read a data set in batches, in order.

        Parameters
        ----------
        data : Dataset
            Of samples.
        gather : callable
            Makes a batch of a list of them.

        Yields
        ------
        object
            What `gather` makes.
        """
        order = in_order(range(len(cast(Sized, data))), self.batch)
        loading: Any = make_loader(
            data, order, workers=self.workers, pin=False, collate_fn=gather, prefetch_factor=2
        )
        yield from read_through(loading)


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of all candidates.

    Attributes
    ----------
    found : list of dict of str to Answers
        For each candidate, by variation.
    failures : list of (str, str)
        Path of each image that could not be shown, and why.
    """

    found: list[dict[str, Answers]]
    failures: list[tuple[str, str]]


def judge_variations(
    candidates: Sequence[Candidate],
    variations: Variations,
    wanted: Sequence[str],
    running: Running,
) -> Judged:
    """Show the variations of a folder.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of the variations' size.
    variations : Variations
        The images.
    wanted : sequence of str
        Which variations.
    running : Running
        How.

    Returns
    -------
    Judged
        Every variation is of the same images.

    Raises
    ------
    DiloError
        If no image could be varied.
    """
    donors = variations.donors

    def shown(pieces: Pieces) -> Iterator[tuple[str, Tensor]]:
        there = Pieces(*(part.to(running.device) for part in pieces))
        return ((name, images) for name, images in pictures(there) if name in wanted)

    batches = running.batches(variations, collate)
    asked = ask(candidates, batches, shown, running.progress)
    behind = {
        kind: torch.tensor([donors.behind(position, kind) for position in asked.positions])
        for kind in MIXED
    }
    found = [
        {
            name: replace(answers, behind=behind.get(name))
            for name, answers in _answers(variations.folder, asked, row).items()
        }
        for row in range(len(candidates))
    ]
    return Judged(found, _failures(variations.folder, asked))


def judge_challenge(
    candidates: Sequence[Candidate],
    challenge: Challenge,
    running: Running,
    *,
    side: int,
    limit: int | None = None,
) -> Judged:
    """Show the variations of the challenge.

    Parameters
    ----------
    candidates : sequence of Candidate
        Any.
    challenge : Challenge
        The images.
    running : Running
        How.
    side : int
        Side of the pictures, in pixels.
    limit : int, optional
        So many images of each variation at most.

    Returns
    -------
    Judged
        By variation. In Mixed-Next the background is of the next class, after the last of the
        first; in Mixed-Rand its class is not published.

    Raises
    ------
    DiloError
        If no image of a variation could be read.
    """
    found: list[dict[str, Answers]] = [{} for _ in candidates]
    failures: list[tuple[str, str]] = []
    for name, folder in challenge.folders.items():

        def shown(crops: Tensor, name: str = name) -> Iterator[tuple[str, Tensor]]:
            yield name, crops.to(running.device) / 255

        frames = Frames(folder, spread(np.arange(len(folder.names)), limit), side)
        batches = running.batches(frames, evaluation.collate)
        asked = ask(candidates, batches, shown, running.progress)
        for row, answers in enumerate(found):
            told = _answers(folder, asked, row)[name]
            if name == "mixed_next":
                told = replace(told, behind=(told.labels + 1) % len(challenge.classes))
            answers[name] = told
        failures += [(f"{name}/val/{path}", reason) for path, reason in _failures(folder, asked)]
    return Judged(found, failures)


def read_backgrounds(
    challenge: Challenge, running: Running, side: int
) -> tuple[Tensor, list[tuple[str, str]]]:
    """Hold the challenge's backgrounds in the device's memory: 4,050 take 0.6 GB.

    Parameters
    ----------
    challenge : Challenge
        The images.
    running : Running
        How.
    side : int
        Side of each, in pixels.

    Returns
    -------
    Tensor of shape (N, 3, side, side), uint8
        Those that could be read, in the order of their paths.
    list of (str, str)
        The others, and why.
    """
    folder = challenge.folders[BACKGROUNDS]
    frames = Frames(folder, np.arange(len(folder.names)), side)
    kept, failed = [], []
    for positions, crops, failures in running.batches(frames, evaluation.collate):
        kept += [crops.to(running.device)] if positions else []
        failed += failures
    _demand_some(folder, kept, failed)
    paths = [(f"{BACKGROUNDS}/val/{escaped(folder.names[i])}", reason) for i, reason in failed]
    return torch.cat(kept), paths


def _answers(folder: LabelledFolder, asked: Asked, row: int) -> dict[str, Answers]:
    """Give a candidate's answers, with what they are to."""
    _demand_some(folder, asked.positions, asked.failures)
    positions = torch.tensor(asked.positions)
    paths = tuple(folder.names[position] for position in asked.positions)
    return {
        name: Answers(positions, paths, folder.labels[positions], predictions)
        for name, predictions in asked.predictions[row].items()
    }


def _demand_some(
    folder: LabelledFolder, kept: Sequence[object], failures: Sequence[tuple[int, str]]
) -> None:
    """Refuse a folder of which nothing can be shown."""
    if not kept:
        position, reason = failures[0]
        raise DiloError(
            f"{folder.root} must hold images that can be shown, but none of {len(failures)} can, "
            f"the first being {escaped(folder.names[position])} ({reason}): check files and masks"
        )


def _failures(folder: LabelledFolder, asked: Asked) -> list[tuple[str, str]]:
    """Name the images that could not be shown."""
    return [(escaped(folder.names[position]), reason) for position, reason in asked.failures]
