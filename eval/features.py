"""A labelled folder and a trunk to one matrix of features."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional

from dilo.eval.encoder import Encoder
from dilo.pipeline.errors import CheckpointError, DiloError, ImageError
from dilo.pipeline.finding import find_images
from dilo.pipeline.images import decode
from dilo.pipeline.labels import labels_of
from dilo.pipeline.names import Names, escaped
from dilo.train.colors import normalise


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """Images below a folder, each in the class that its first folder names.

    Attributes
    ----------
    root : Path
        The folder.
    names : Names
        Relative paths of the M images.
    labels : Tensor of shape (M,), int64
        Class of each, a position in `classes`.
    classes : tuple of str
        Names of the classes.
    """

    root: Path
    names: Names
    labels: Tensor
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readable images of a folder.

    Attributes
    ----------
    root : Path
        The folder.
    vectors : Tensor of shape (M, D), float32
        Pooled features, not normalised, on the CPU.
    labels : Tensor of shape (M,), int64
        Class of each, a position in `classes`.
    classes : tuple of str
        Names of the classes.
    paths : Names
        Relative path of each image.
    unreadable : tuple of (str, str)
        Relative path of each image left out, and why.
    """

    root: Path
    vectors: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    paths: Names
    unreadable: tuple[tuple[str, str], ...]


def labelled_folder(root: Path, *, classes: tuple[str, ...] | None = None) -> LabelledFolder:
    """List the images of a folder and number their classes.

    Parameters
    ----------
    root : Path
        A folder of class folders, with images at any depth below them.
    classes : tuple of str, optional
        The classes to number by; by default those of the folder, sorted.

    Returns
    -------
    LabelledFolder
        The images in the order of their paths.

    Raises
    ------
    DiloError
        If there is no image, an image lies in no class folder, or a class of the
        folder is not among `classes`.
    """
    names = find_images(root)
    labels = labels_of(names, str(root), classes=classes)
    return LabelledFolder(root, names, torch.from_numpy(labels.numbers), labels.classes)


def features(
    encoder: Encoder,
    folder: LabelledFolder,
    *,
    batch: int = 256,
    workers: int = 0,
    device: torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> Features:
    """Run the trunk over every image of a folder, in float32.

    Parameters
    ----------
    encoder : Encoder
        The trunk; it is moved to `device`.
    folder : LabelledFolder
        The images.
    batch : int, default 256
        Images that the trunk sees at once.
    workers : int, default 0
        Processes that decode; 0 decodes in this one.
    device : torch.device, optional
        Where the trunk runs; the CPU by default.
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
    device = device or torch.device("cpu")
    encoder.network.to(device)
    loader = DataLoader(
        _Crops(folder.root, folder.names, encoder.size),
        batch_size=batch,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
    )
    vectors = torch.empty(0)
    kept: list[int] = []
    unreadable: list[tuple[str, str]] = []
    for positions, crops, failures in loader:
        if positions:
            pooled = _pooled(encoder, crops.to(device, non_blocking=True))
            if not kept:  # all at once: growing it would hold two copies
                vectors = torch.empty(len(folder.names), pooled.shape[1])
            vectors[len(kept) : len(kept) + len(positions)] = pooled
            kept += positions
        unreadable += [(escaped(folder.names[position]), reason) for position, reason in failures]
        if progress is not None:
            progress(len(positions) + len(failures))
    if not kept:
        raise DiloError(
            f"{folder.root} must hold images that can be read, but none of {len(unreadable)} "
            f"could, the first being {unreadable[0][0]} ({unreadable[0][1]}): check the files"
        )
    names = Names(folder.names[i] for i in kept) if unreadable else folder.names
    labels = folder.labels[torch.tensor(kept)]
    return Features(
        folder.root, vectors[: len(kept)], labels, folder.classes, names, tuple(unreadable)
    )


def evaluation_crop(image: NDArray[np.uint8], size: int) -> Tensor:
    """Resize the short side to 256/224 of `size`, antialiased, and crop the centre.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        The image as RGB.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    Tensor of shape (3, size, size), uint8
        The crop.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: at 224 px, the published centre crop of 256 px.
    """
    resized = functional.resize(Image.fromarray(image), [round(size * 256 / 224)])
    crop: Tensor = functional.pil_to_tensor(functional.center_crop(resized, [size, size]))
    return crop


_Item = tuple[int, Tensor | str]
_Batch = tuple[list[int], Tensor, list[tuple[int, str]]]


class _Crops(Dataset[_Item]):
    """Evaluation crops by position; the reason, in words, where an image cannot be read."""

    def __init__(self, root: Path, names: Names, size: int) -> None:
        self._root = root
        self._names = names
        self._size = size

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, position: int) -> _Item:
        try:
            image = decode(self._root / self._names[position])
        except ImageError as error:
            return position, str(error)
        return position, evaluation_crop(image, self._size)


def _collate(items: list[_Item]) -> _Batch:
    """Part the crops from the failures; bytes travel between processes, floats are made later."""
    crops = {position: crop for position, crop in items if isinstance(crop, Tensor)}
    failures = [(position, reason) for position, reason in items if isinstance(reason, str)]
    stacked = torch.stack(list(crops.values())) if crops else torch.empty(0)
    return list(crops), stacked, failures


def _pooled(encoder: Encoder, crops: Tensor) -> Tensor:
    """Run the trunk; stop on NaN, whose neighbours would be arbitrary yet look like a result."""
    with torch.inference_mode():
        pooled: Tensor = encoder.network(normalise(crops / 255)).cpu()
    if not bool(pooled.isfinite().all()):
        raise CheckpointError(
            f"features of {encoder.source} must be finite, got NaN or infinity: "
            "the training run diverged; take an earlier checkpoint"
        )
    return pooled
