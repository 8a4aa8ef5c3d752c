"""How far the masks of a network are from people's, while it trains: MAE, and the best F."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from dilo.pipeline.errors import DiloError
from dilo.pipeline.masks.files import WHITE_ABOVE, white
from dilo.pipeline.saliency.measures import THRESHOLDS, counts, f_measure, precision, recall
from dilo.train.data.images import first_readable
from dilo.train.data.loader import in_order, make_loader, read_through
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES, move
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import never
from dilo.train.saliency.dataset import standardise
from dilo.train.saliency.pairs import ImageMaskPairs, squash_image

#: Images that the network sees at once.
BATCH: Final = 16


@dataclass(frozen=True)
class Score:
    """What masks score.

    Attributes
    ----------
    mae : float
        Mean over images of the mean absolute error of the soft mask.
    max_f : float
        Largest, over thresholds, F of mean precision and mean recall over images.
    empty : int, default 0
        Images left out because their truth is black: there is nothing to find.
    """

    mae: float
    max_f: float
    empty: int = 0


def image_curves(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compare a mask with the truth.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The mask, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    ndarray of shape (513,), float64
        The mean absolute error; precision at each of 256 thresholds, then recall; a share of
        nothing is 0.
    """
    hits = counts(saliency, truth)
    return np.concatenate([[np.abs(saliency - truth).mean()], precision(hits), recall(hits)])


def summarize(total: NDArray[np.float64], images: int) -> Score:
    """Sum up what images score.

    Parameters
    ----------
    total : ndarray of shape (513,), float64
        The sum of what `image_curves` gave.
    images : int
        How many.

    Returns
    -------
    Score
        Over all of them.
    """
    mae, curves = total[0] / images, total[1:] / images
    return Score(mae=float(mae), max_f=float(f_measure(*np.split(curves, 2)).max()))


def saliency_of(output: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Turn a map of a network into a mask of an image.

    Parameters
    ----------
    output : ndarray of shape (s, s), float32
        Its probabilities.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    ndarray of shape (H, W), float64
        Stretched to [0, 1], zeros where the map is flat, then resized bilinearly.
    """
    low, high = float(output.min()), float(output.max())
    stretched = (output - low) / (high - low) if high > low else np.zeros_like(output)
    resized = cv2.resize(stretched, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(resized.astype(np.float64), 0.0, 1.0)


def _curves_unless_empty(
    output: NDArray[np.float32], truth: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Compare a map with the truth; None where that is black."""
    return image_curves(saliency_of(output, truth.shape), truth) if truth.any() else None


class _SquashedImages(Dataset[tuple[NDArray[np.uint8], NDArray[np.bool_]]]):
    """Images squashed to what the network sees, and their truths."""

    def __init__(self, pairs: ImageMaskPairs, positions: NDArray[np.int64], side: int) -> None:
        self._pairs, self._positions, self._side = pairs, positions, side

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        position = int(self._positions[index])
        (image, truth), _ = first_readable(self._pairs.source, position, self._read)
        return squash_image(image, self._side).transpose(2, 0, 1), truth

    def _read(self, position: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read an image and its truth, which must be white somewhere, or black."""
        image, mask = self._pairs.read(position)
        return image, white(mask)


class MaskScorer:
    """Compare a network's masks with people's, the same images each time.

    Parameters
    ----------
    pairs : ImageMaskPairs
        Images and their truths, which people made.
    side : int
        Of the square that the network sees, in pixels.
    machine : RunOptions
        Device, precision, workers.
    """

    def __init__(self, pairs: ImageMaskPairs, side: int, machine: RunOptions) -> None:
        self._machine, self._count = machine, len(pairs.source.indices)
        self._folder = pairs.folder
        positions = pairs.source.indices[distributed.rank() :: distributed.world_size()]
        self._images = _SquashedImages(pairs, positions, side)

    def score(self, network: nn.Module, between: Callable[[], object] = never) -> Score:
        """Score a network, on all ranks together.

        Parameters
        ----------
        network : Module
            On the device; left in the mode that it is in.
        between : callable, optional
            Called before each batch, on all ranks as often; what it raises gives the scoring up.

        Returns
        -------
        Score
            The same on all ranks.
        """
        mode = network.training
        network.eval()
        total, empty = np.zeros(1 + 2 * THRESHOLDS), 0
        try:
            for curves in self._curves(network, between):
                if curves is None:
                    empty += 1
                else:
                    total += curves
        finally:
            network.train(mode)
        empty = round(float(self._sum_over_ranks(np.array([float(empty)]))[0]))
        if empty == self._count:
            raise DiloError(
                f"--test-truth {self._folder} must be white (above {WHITE_ABOVE} of 255) where the "
                f"object is, got {empty} masks that are all black: check the folder"
            )
        score = summarize(self._sum_over_ranks(total), self._count - empty)
        return dataclasses.replace(score, empty=empty)

    def _sum_over_ranks(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over all ranks."""
        # Of a device that all backends speak of; there float64 may be missing, not on these.
        total = (
            distributed.all_reduce_mean(torch.from_numpy(values).to(self._machine.device))
            * distributed.world_size()
        )
        return np.asarray(total.cpu().numpy())

    def _curves(
        self, network: nn.Module, between: Callable[[], object]
    ) -> Iterator[NDArray[np.float64] | None]:
        """Yield what each image of this rank scores, in order; None where its truth is black.

        Threads compare a batch while the device computes the next.
        """
        with ThreadPoolExecutor(self._machine.workers or 1) as pool:
            comparing: Iterator[NDArray[np.float64] | None] = iter(())
            for maps in self._maps(network, between):
                following = pool.map(_curves_unless_empty, *zip(*maps, strict=True))
                yield from comparing
                comparing = following
            yield from comparing

    def _maps(
        self, network: nn.Module, between: Callable[[], object]
    ) -> Iterator[list[tuple[NDArray[np.float32], NDArray[np.bool_]]]]:
        """Yield the maps and the truths of this rank's images, a batch at a time."""
        machine = self._machine
        batches = in_order(range(len(self._images)), BATCH)
        loading: Any = make_loader(
            self._images,
            batches,
            workers=machine.workers,
            pin=False,
            collate_fn=_collate,
            prefetch_factor=2,
        )
        half = machine.precision != "fp32"
        with contextlib.closing(read_through(loading)) as loaded:
            # One rank may have a batch more than another.
            for _ in range(0, -(-self._count // distributed.world_size()), BATCH):
                between()
                if (batch := next(loaded, None)) is None:
                    continue
                images, truths = batch
                with (
                    torch.no_grad(),
                    torch.autocast(machine.device.type, DTYPES[machine.precision], enabled=half),
                ):
                    images = move(images, machine.device)
                    logits = network(standardise(images / 255))[0]
                maps = logits[:, 0].float().sigmoid().cpu().numpy()
                yield list(zip(maps, truths, strict=True))


def _collate(
    items: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]],
) -> tuple[Tensor, list[NDArray[np.bool_]]]:
    """Stack the images; the truths are of several shapes."""
    return torch.from_numpy(np.stack([image for image, _ in items])), [mask for _, mask in items]
