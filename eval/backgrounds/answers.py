"""What classifiers answer to pictures: every candidate sees each batch once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from dilo.eval.backgrounds.candidate import Candidate

Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class Answers:
    """A classifier's answers to one variation.

    Attributes
    ----------
    positions : Tensor of shape (M,), int64
        Of the images, in their folder.
    paths : tuple of str
        Their relative paths; variations of the same paths are of the same images.
    labels : Tensor of shape (M,), int64
        Class of each foreground.
    predictions : Tensor of shape (M,), int64
        The class answered; -1 for one that is not judged.
    behind : Tensor of shape (M,), int64, optional
        Class of each background, where it is known.
    """

    positions: Tensor
    paths: tuple[str, ...]
    labels: Tensor
    predictions: Tensor
    behind: Tensor | None = None

    @property
    def right(self) -> Tensor:
        """Tell which are right.

        Returns
        -------
        Tensor of shape (M,), bool
            True where the answer is the foreground's class.
        """
        return self.predictions == self.labels


@dataclass(frozen=True, eq=False)
class Asked:
    """What came of a folder.

    Attributes
    ----------
    positions : list of int
        The images that were shown.
    predictions : list of dict of str to Tensor of shape (M,), int64
        For each candidate, by variation.
    failures : list of (int, str)
        The images that were not, and why.
    """

    positions: list[int]
    predictions: list[dict[str, Tensor]]
    failures: list[tuple[int, str]]


def ask(
    candidates: Sequence[Candidate],
    batches: Iterable[tuple[list[int], Content, list[tuple[int, str]]]],
    pictures: Callable[[Content], Iterable[tuple[str, Tensor]]],
    progress: Callable[[int], object] | None = None,
) -> Asked:
    """Show pictures to candidates.

    Parameters
    ----------
    candidates : sequence of Candidate
        On the device of the pictures.
    batches : iterable of (list of int, object, list of (int, str))
        Positions of the images that could be read, what of them, and the failures.
    pictures : callable
        Makes of that, by name of the variation, (B, 3, H, W) float32 in [0, 1].
    progress : callable, optional
        Called after each batch with the number of images done since the last call.

    Returns
    -------
    Asked
        In the order of the batches.
    """
    kept: list[int] = []
    failed: list[tuple[int, str]] = []
    found: list[dict[str, list[Tensor]]] = [{} for _ in candidates]
    for positions, content, failures in batches:
        if positions:
            for variation, images in pictures(content):
                for candidate, answers in zip(candidates, found, strict=True):
                    answers.setdefault(variation, []).append(candidate.predictions(images))
        kept += positions
        failed += failures
        if progress is not None:
            progress(len(positions) + len(failures))
    joined = [{name: torch.cat(parts) for name, parts in answers.items()} for answers in found]
    return Asked(kept, joined, failed)
