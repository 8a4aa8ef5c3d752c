"""Images for a linear layer: training crops, and test images that are read once."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.linear.protocols import Protocol
from dilo.eval.linear.scoring import true_class_ranks
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.names import Names
from dilo.train.data.crop import crop
from dilo.train.data.draws import sample_order, view_draw
from dilo.train.recipes.recipe import PasteRecipe, ViewsRecipe
from dilo.train.runtime import distributed
from dilo.train.runtime.options import RunOptions

#: Stands for the position of no image, where the ranks do not share a batch evenly.
NONE = -1


#: Stands for the class of what is not to be learnt from.
UNLABELLED = -1


class Crop(NamedTuple):
    """A training crop; gray and unlabelled where there is none to be had."""

    position: int
    label: int
    pixels: NDArray[np.uint8]


class CropBatch(NamedTuple):
    """What one rank holds of a batch."""

    #: Position in the folder and class of each crop, of shape (b, 2), int64. Of no image, both are
    #: -1; of an image that could not be read, the class is.
    samples: Tensor
    #: RGB, of shape (b, 3, s, s), uint8.
    crops: Tensor


class TrainingCrops(Dataset[Crop]):
    """Random crops by (epoch, position): a function of these and the seed, whoever makes them."""

    def __init__(self, folder: LabelledFolder, protocol: Protocol, size: int, seed: int) -> None:
        self._folder, self._size, self._seed = folder, size, seed
        self._views = ViewsRecipe(
            size=size, crop_scale=protocol.crop_scale, flip=protocol.flip, order=()
        )
        self._paste = PasteRecipe(probability=0.0)

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        epoch, position = key
        empty = Crop(position, UNLABELLED, np.zeros((self._size, self._size, 3), np.uint8))
        if position == NONE:
            return empty
        try:
            image = self._folder.decode(position)
        except ImageError:
            return empty
        draw = view_draw(
            self._views,
            self._paste,
            seed=self._seed,
            epoch=epoch,
            sample=position,
            view=0,
            height=image.shape[0],
            width=image.shape[1],
        )
        pixels, _ = crop(image, None, draw, self._size)
        return Crop(position, int(self._folder.labels[position]), pixels)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The share of this rank in the batches from a step on, one stream over the epochs.

    Each epoch visits every image once, so that its last batch may be smaller. A batch is the
    same whatever the number of ranks: rank r of R holds its r-th run, all of one length. It begins
    after `start` steps.
    """

    def __init__(self, count: int, protocol: Protocol, seed: int, start: int = 0) -> None:
        self._count, self._protocol, self._seed, self._start = count, protocol, seed, start
        self.steps_per_epoch = -(-count // protocol.batch)

    def __len__(self) -> int:
        return self.steps_per_epoch * self._protocol.epochs - self._start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batch = self._protocol.batch
        begin, step = divmod(self._start, self.steps_per_epoch)
        for epoch in range(begin, self._protocol.epochs):
            order = sample_order(self._seed, epoch, self._count)
            for first in range(step * batch, self._count, batch):
                batch_order = order[first : first + batch].tolist()
                share = -(-len(batch_order) // distributed.world_size())
                mine = batch_order[distributed.rank() * share : (distributed.rank() + 1) * share]
                mine += [NONE] * (share - len(mine))
                yield [(epoch, position) for position in mine]
            step = 0


def collate(crops: Sequence[Crop]) -> CropBatch:
    """Stack crops into a batch of bytes: floats are made of them on the device."""
    return CropBatch(
        torch.tensor([[crop.position, crop.label] for crop in crops]),
        torch.from_numpy(np.stack([crop.pixels.transpose(2, 0, 1) for crop in crops])),
    )


#: Stands for the rank of the true class of an image that could not be read.
UNREAD = -1


#: Images that the backbone sees at once.
BATCH = 256


class TestFeatures:
    """The features of this rank's share of the test images.

    The backbone is frozen and the crops are fixed, so that they are the same after every epoch.
    """

    __test__ = False  # no class of tests, whatever its name

    def __init__(
        self,
        encoder: Encoder,
        folder: LabelledFolder,
        machine: RunOptions,
        say: Callable[[str], None],
    ) -> None:
        #: All test images.
        self.folder = folder
        share = range(distributed.rank(), len(folder.names), distributed.world_size())
        names = folder.names[share.start : share.stop : share.step]
        labels = folder.labels[share.start : share.stop : share.step]
        part = LabelledFolder(folder.root, Names(names), labels, folder.classes)
        terminal = None if distributed.rank() == 0 else False
        with Progress(len(share), "test images", say, terminal=terminal) as progress:
            self._features = extract_features(
                encoder,
                part,
                batch=BATCH,
                workers=machine.workers,
                device=machine.device,
                progress=progress.advance,
            )
        position_of = dict(zip(part.names, share, strict=True))
        self._positions = torch.tensor([position_of[name] for name in self._features.paths])
        #: Columns of the features.
        self.width = int(self._features.vectors.shape[1])

    def ranks(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Find the rank of the true class of each test image among the scores of a linear layer.

        Parameters
        ----------
        weight : Tensor of shape (C, D), float32
            One row a class.
        bias : Tensor of shape (C,), float32
            One value a class.

        Returns
        -------
        Tensor of shape (M,), int64
            On the CPU, the same on all ranks; -1 of an image that could not be read.
        """
        ranks = torch.full((len(self.folder.names),), UNREAD)
        features = self._features
        ranks[self._positions] = true_class_ranks(weight, bias, features.vectors, features.labels)
        return distributed.all_gather(ranks).view(distributed.world_size(), -1).amax(0)
