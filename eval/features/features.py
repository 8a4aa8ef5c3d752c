"""A folder of images and a backbone to one matrix of features."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from dilo.eval.common.inputs import listing
from dilo.eval.common.results import skipped_images
from dilo.eval.features.extraction import extract_batches
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import FeatureSource
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import DiloError, first_few
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.selection import is_narrowed
from dilo.train.monitor.nearest import Matrix
from dilo.train.runtime.devices import Precision


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readable images of a folder.

    Attributes
    ----------
    root : Path
        The folder.
    vectors : Matrix of shape (M, D), float32
        Not normalised, on the CPU: a Tensor, or a `StoredRows`, which reads the rows that a slice
        asks for.
    labels : Tensor of shape (M,), int64
        Class of each, a position in `classes`; -1 where there are no classes.
    classes : tuple of str
        Names of the classes; empty where images lie outside class folders.
    paths : Names
        Relative path of each image.
    unreadable : tuple of (str, str)
        Relative path of each image that could not be read, and why.
    digest : str
        Of the names and sizes of all images, those skipped too, as `LabelledFolder.digest` is.
    source : FeatureSource
        Which weights made them, and how.
    options : mapping of str to object
        As `LabelledFolder` has them.
    """

    root: Path
    vectors: Matrix
    labels: Tensor
    classes: tuple[str, ...]
    paths: Names
    unreadable: tuple[tuple[str, str], ...]
    digest: str
    source: FeatureSource
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_narrowed(self) -> bool:
        """Check whether they are of a part of the folder, by a user's choice."""
        return is_narrowed(self.options)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """List the images that could not be read by their whole paths, and why."""
        return [(str(self.root / path), reason) for path, reason in self.unreadable]

    @classmethod
    def from_rows(
        cls,
        folder: LabelledFolder,
        positions: list[int],
        vectors: Matrix,
        failures: Sequence[tuple[int, str]],
        source: FeatureSource,
    ) -> Self:
        """Put rows beside what is known of their images.

        Parameters
        ----------
        folder : LabelledFolder
            The images.
        positions : list of int
            Which of them the rows are of.
        vectors : Matrix of shape (M, D), float32
            The rows.
        failures : sequence of (int, str)
            Positions of those that could not be read, and why.
        source : FeatureSource
            What made the rows.

        Returns
        -------
        Features
            Of the folder, or of a part of it.
        """
        whole = positions == list(range(len(folder.names)))
        return cls(
            folder.root,
            vectors,
            folder.labels[torch.tensor(positions, dtype=torch.int64)],
            folder.classes,
            folder.names if whole else Names(folder.names[position] for position in positions),
            tuple((escaped(folder.names[position]), reason) for position, reason in failures),
            folder.digest,
            source,
            folder.options,
        )

    def with_classes(self, classes: Sequence[str]) -> "Features":
        """Give the classes the numbers that they have in another list.

        Parameters
        ----------
        classes : sequence of str
            Those to number by.

        Returns
        -------
        Features
            The same rows, their labels positions in `classes`.

        Raises
        ------
        DiloError
            If a class of the rows is not among `classes`.
        """
        number_of = {name: number for number, name in enumerate(classes)}
        present = [self.classes[number] for number in torch.unique(self.labels).tolist()]
        if unknown := [name for name in present if name not in number_of]:
            raise DiloError(
                f"classes of {self.root} must be among the {len(classes)} of the training images, "
                f"got {first_few([*map(escaped, unknown)])}: take features of the same classes"
            )
        numbers = torch.tensor([number_of.get(name, -1) for name in self.classes])
        return dataclasses.replace(self, labels=numbers[self.labels], classes=tuple(classes))


def extract_features(
    encoder: Encoder,
    folder: LabelledFolder,
    *,
    batch: int = 256,
    workers: int = 0,
    device: torch.device | None = None,
    precision: Precision = "fp32",
    progress: Callable[[int], object] | None = None,
) -> Features:
    """Run the backbone over every image of a folder, and hold what it gives in memory.

    Parameters
    ----------
    encoder : Encoder
        The backbone; it is moved to `device`.
    folder : LabelledFolder
        The images.
    batch : int, default 256
        Images that the backbone sees at once.
    workers : int, default 0
        Processes that decode; 0 decodes in this one.
    device : torch.device, optional
        Where the backbone runs; the CPU by default.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        In what it computes.
    progress : callable, optional
        Called after each batch with the number of images done since the last call.

    Returns
    -------
    Features
        One row for each image that could be read.

    Raises
    ------
    CheckpointError
        If a feature is not finite.
    DiloError
        If no image could be read.
    """
    count = len(folder.names)
    batches = [[*range(count)[first : first + batch]] for first in range(0, count, batch)]
    vectors = torch.empty(0)
    positions: list[int] = []
    failures: list[tuple[int, str]] = []
    for part in extract_batches(
        encoder, folder, batches, workers=workers, device=device, precision=precision
    ):
        if part.positions:
            if not positions:  # all at once: growing it would hold two copies
                vectors = torch.empty(count, part.vectors.shape[1])
            vectors[len(positions) : len(positions) + len(part.positions)] = part.vectors
            positions += part.positions
        failures += part.failures
        if progress is not None:
            progress(len(part.positions) + len(part.failures))
    source = FeatureSource.of(encoder, precision)
    features = Features.from_rows(folder, positions, vectors[: len(positions)], failures, source)
    require_rows(features)
    return features


def require_rows(features: Features) -> None:
    """Refuse features of a folder of which nothing could be read."""
    if not len(features.vectors):
        path, reason = features.unreadable[0]
        raise DiloError(
            f"{features.root} must hold images that can be read, but none of "
            f"{len(features.unreadable)} could, the first being {path} ({reason}): check the files"
        )


def features_record(features: Features) -> dict[str, Any]:
    """Gather what --json prints: what made the features, how many, and what was skipped."""
    rows, width = features.vectors.shape
    return {
        "task": "features",
        **asdict(features.source),
        "inputs": {"images": listing(features)},
        "rows": rows,
        "width": width,
        "classes": len(features.classes),
        "skipped": skipped_images(features.skipped),
    }
