"""The challenge's accuracy: foregrounds that no background of the test set makes mistaken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dilo.eval.backgrounds.challenge import Challenge, frame, read_mask
from dilo.eval.backgrounds.classify import Candidate
from dilo.pipeline.errors import DiloError, ImageError
from dilo.train.augment.paste import paste

#: The folder of the masks, and the variation whose images are the backgrounds.
MASKS, BACKGROUNDS = "fg_mask", "only_bg_t"


@dataclass(frozen=True)
class Foreground:
    """A foreground of the challenge.

    Attributes
    ----------
    mask : Path
        Its mask, an array.
    image : Path
        The image, of the original variation.
    label : int
        Its class.
    """

    mask: Path
    image: Path
    label: int


def find_foregrounds(challenge: Challenge) -> list[Foreground]:
    """List the foregrounds: every mask ``ROOT/fg_mask/val/CLASS/NAME.npy`` and its image.

    Parameters
    ----------
    challenge : Challenge
        With the variations original and only_bg_t.

    Returns
    -------
    list of Foreground
        By class, then by name.

    Raises
    ------
    DiloError
        If there is none, or a mask has no image.
    """
    if missing := [name for name in ("original", BACKGROUNDS) if name not in challenge.folders]:
        raise DiloError(
            f"{challenge.root} must hold original and {BACKGROUNDS} for the challenge's accuracy, "
            f"got no {' and no '.join(missing)}: unpack the whole release"
        )
    folder, original = challenge.root / MASKS / "val", challenge.folders["original"]
    images = {name.rpartition(".")[0]: name for name in original.names}
    found = []
    for label, name in enumerate(challenge.classes):
        for mask in sorted((folder / name).glob("*.npy")):
            image = images.get(f"{name}/{mask.stem}")
            if image is None:
                raise DiloError(
                    f"{mask} must be the mask of an image of {original.root / name}, got none of "
                    "that name: unpack the release anew"
                )
            found.append(Foreground(mask, original.root / image, label))
    if not found:
        raise DiloError(
            f"{folder} must hold CLASS/NAME.npy for the challenge's accuracy, got none: unpack the "
            "whole release"
        )
    return found


@dataclass(frozen=True, eq=False)
class Verdict:
    """Which foregrounds hold on every background.

    Attributes
    ----------
    holds : list of Tensor of shape (F,), bool
        For each candidate.
    failures : list of (str, str)
        The foregrounds that could not be read, and why.
    """

    holds: list[Tensor]
    failures: list[tuple[str, str]]


def attack(
    candidates: Sequence[Candidate],
    foregrounds: Sequence[Foreground],
    backgrounds: Tensor,
    *,
    batch: int,
    progress: Callable[[int], object] | None = None,
) -> Verdict:
    """Paste every foreground on every background, its own class's too.

    Parameters
    ----------
    candidates : sequence of Candidate
        On the device of the backgrounds.
    foregrounds : sequence of Foreground
        Which ones.
    backgrounds : Tensor of shape (N, 3, S, S), uint8
        All of them.
    batch : int
        Pictures at once.
    progress : callable, optional
        Called after each foreground with 1.

    Returns
    -------
    Verdict
        One value for each foreground that could be read.

    References
    ----------
    .. [1] K. Xiao, L. Engstrom, A. Ilyas and A. Madry, "Noise or Signal: The Role of Image
       Backgrounds in Object Recognition", ICLR 2021, on adversarial backgrounds.
    """
    side, device = backgrounds.shape[-1], backgrounds.device
    chunks = [backgrounds[i : i + batch] for i in range(0, len(backgrounds), batch)]
    holds: list[list[bool]] = [[] for _ in candidates]
    failures = []
    for foreground in foregrounds:
        try:
            image = frame(foreground.image, side).to(device) / 255
            mask = read_mask(foreground.mask, side).to(device)
        except ImageError as error:
            failures.append((str(foreground.mask), str(error)))
        else:
            for candidate, found in zip(candidates, holds, strict=True):
                found.append(_holds(candidate, image, mask, foreground.label, chunks))
        if progress is not None:
            progress(1)
    return Verdict([torch.tensor(found, dtype=torch.bool) for found in holds], failures)


def _holds(
    candidate: Candidate, image: Tensor, mask: Tensor, label: int, chunks: Sequence[Tensor]
) -> bool:
    """Tell whether a foreground is recognised on all backgrounds; the first mistake settles it."""
    for chunk in chunks:
        pasted = paste(image.expand(len(chunk), -1, -1, -1), mask[None], chunk / 255)
        if bool((candidate.predictions(pasted) != label).any()):
            return False
    return True
