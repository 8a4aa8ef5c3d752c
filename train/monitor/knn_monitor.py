"""A kNN evaluation while a network trains, which changes nothing of what it learns."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.labels import labels_of, of_classes
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import ImageSource
from dilo.train.augment.color import to_color_space
from dilo.train.data.draws import evaluation_order
from dilo.train.data.evaluation import EvalImages, Item
from dilo.train.data.images import ImageSet
from dilo.train.data.loader import in_order, make_loader, read_through
from dilo.train.monitor.knn import knn_accuracy
from dilo.train.networks.encoder import pooled_features
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime import distributed
from dilo.train.runtime.signals import never

#: Neighbours that vote, and what similarities are divided by before: the defaults of solo-learn
#: and of dilo-eval. More neighbours serve larger banks.
K, TEMPERATURE = 20, 0.07
#: Training images used, and the share of them that are queries.
IMAGES, QUERY_SHARE = 10_000, 0.1
BATCH = 64


@dataclass(frozen=True, eq=False)
class _Subset:
    """Images and their classes: the bank, or the queries."""

    images: ImageSource
    names: Names
    labels: Tensor


class KnnMonitor:
    """Classify images by a vote of the nearest training images, as the network stands.

    The bank is at most 10,000 of the training images, chosen by the recipe's seed. Unless there
    is a folder of images to ask about, a tenth of these are asked about the others. 20
    neighbours vote (all, if there are fewer), each with weight exp(similarity / 0.07).

    Parameters
    ----------
    source : ImageSet
        The training images; the first folder of each names its class.
    recipe : Recipe
        Seed, and size and colours of the views.
    device : torch.device
        Where the networks are.
    workers : int
        Processes that decode.
    test : Path, optional
        Folder of images to ask about, in folders of the same classes.

    Attributes
    ----------
    k : int
        Neighbours that vote.

    Raises
    ------
    DiloError
        If there are no classes, only one, or fewer than two images; or if `test` is the folder
        of the training images.

    References
    ----------
    .. [1] Z. Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
       Discrimination", CVPR 2018, section 3.4.
    """

    def __init__(
        self,
        source: ImageSet,
        recipe: Recipe,
        device: torch.device,
        workers: int,
        test: Path | None = None,
    ) -> None:
        self._size, self._space = recipe.views.size, recipe.views.space
        self._device, self._workers = device, workers
        context = f"--knn-every needs classes: --images {source.folder}"
        labels = labels_of(source.names, context, class_names=source.class_names())
        if len(labels.classes) < 2:
            raise DiloError(f"{context} must hold two folders of classes, got {labels.classes[0]}")
        self._classes = labels.classes
        positions = source.indices[evaluation_order(recipe.seed, len(source.indices))[:IMAGES]]
        query_count = 0 if test else max(1, round(QUERY_SHARE * len(positions)))
        if query_count == len(positions):
            raise DiloError(f"{context} must hold two images that can be read, got {query_count}")
        self._bank = _subset(source, positions[query_count:], labels.numbers)
        if test is None:
            self._queries = _subset(source, positions[:query_count], labels.numbers)
        else:
            self._queries = _test_subset(test, source, self._classes)
        self.k = min(K, len(self._bank.names))

    def evaluate(
        self,
        encoders: Sequence[nn.Module],
        step: int,
        epoch: int,
        between: Callable[[], object] = never,
    ) -> dict[str, Any]:
        """Evaluate the networks: return a line of metrics.jsonl."""
        top1 = self.top1(encoders, between)
        return {"step": step, "epoch": epoch, "knn_top1": top1, "knn_k": self.k}

    def top1(
        self, encoders: Sequence[nn.Module], between: Callable[[], object] = never
    ) -> float | None:
        """Compute the accuracy; on all ranks at once, each takes a share of the images.

        Returns per cent of the images asked about whose class was elected. None if there is
        nothing to say: no image of the bank, or none that is asked about, can be read, or a
        feature is not finite, which in the first steps a network may recover from.
        """
        with torch.no_grad(), _eval_mode(encoders):
            bank, bank_labels = self._features(encoders, self._bank, between)
            queries, labels = self._features(encoders, self._queries, between)
        finite = bool(bank.isfinite().all() and queries.isfinite().all())
        if not finite or not len(bank) or not len(queries):
            return None
        (accuracy,) = knn_accuracy(
            bank,
            bank_labels,
            queries,
            labels,
            ks=[min(self.k, len(bank))],
            temperature=TEMPERATURE,
            classes=len(self._classes),
        )
        return accuracy.top1

    def _features(
        self, encoders: Sequence[nn.Module], subset: _Subset, between: Callable[[], object]
    ) -> tuple[Tensor, Tensor]:
        """Gather features and labels of the images that can be read."""
        count = len(subset.names)
        # All ranks take as many, some of them the last image again.
        per_rank = -(-count // distributed.world_size())
        first = distributed.rank() * per_rank
        positions = [min(position, count - 1) for position in range(first, first + per_rank)]
        loading: Any = make_loader(
            EvalImages(subset.images, subset.names, self._size),
            in_order(positions, BATCH),
            workers=self._workers,
            pin=self._device.type == "cuda",
            collate_fn=functools.partial(_collate, self._size),
            prefetch_factor=2,
        )
        rows, readable = [], []
        with contextlib.closing(read_through(loading)) as batches:
            for _ in range(0, per_rank, BATCH):
                between()
                crops, flags = next(batches)
                images = to_color_space(
                    crops.to(self._device, non_blocking=True) / 255, self._space
                )
                pairs = zip(encoders, _channels(encoders, images), strict=True)
                rows.append(torch.cat([pooled_features(*pair).float() for pair in pairs], 1))
                readable.append(flags)
        valid = distributed.all_gather(torch.cat(readable).to(self._device))[:count].bool()
        features = distributed.all_gather(torch.cat(rows))[:count]
        return features[valid], subset.labels.to(self._device)[valid]


def _subset(source: ImageSet, positions: NDArray[np.int64], numbers: NDArray[np.int64]) -> _Subset:
    """Select some of the training images, in the order of their paths."""
    positions = np.sort(positions)
    names = Names(source.names[int(position)] for position in positions)
    return _Subset(source.images, names, torch.from_numpy(numbers[positions]))


def _test_subset(test: Path, source: ImageSet, classes: Sequence[str]) -> _Subset:
    """Take all images of a folder, by the classes of the training images.

    If these are a part of their folder, images of other classes are left out.
    """
    if test.resolve() == source.folder.resolve():
        raise DiloError(
            f"--knn-test must be another folder than --images, got {test}: else every image finds "
            "itself; without --knn-test, a part of the images is used for testing"
        )
    own = source.selection
    selection = ImageSelection(test, labels=own.labels if own is not None else ())
    names, where = selection.names(), f"--knn-test {test}"
    class_names = selection.class_names(names)
    if source.is_narrowed:
        names, class_names = of_classes(names, class_names, classes, where)
    labels = labels_of(names, where, classes=classes, class_names=class_names)
    images = selection.open()
    return _Subset(images, names, torch.from_numpy(labels.numbers))


def _collate(size: int, items: list[Item]) -> tuple[Tensor, Tensor]:
    """Stack crops, and flags of those that could be read; the others are black."""
    black = torch.zeros(3, size, size, dtype=torch.uint8)
    crops = [crop if isinstance(crop, Tensor) else black for _, crop in items]
    flags = [isinstance(crop, Tensor) for _, crop in items]
    return torch.stack(crops), torch.tensor(flags, dtype=torch.uint8)


def _channels(encoders: Sequence[nn.Module], images: Tensor) -> Sequence[Tensor]:
    """Split images into the channels of each network."""
    if len(encoders) == 1:
        return [images]
    widths = [
        next(layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv2d))
        for network in encoders
    ]
    return torch.split(images, widths, 1)


@contextlib.contextmanager
def _eval_mode(encoders: Sequence[nn.Module]) -> Iterator[None]:
    """Put networks into eval mode, and each module of them back into its own mode."""
    modes = [(module, module.training) for network in encoders for module in network.modules()]
    for network in encoders:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
