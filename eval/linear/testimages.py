"""The test images of a linear probe: features once, scores after every epoch, shared by ranks."""

from collections.abc import Callable

import torch
from torch import Tensor

from dilo.eval.encoder import Encoder
from dilo.eval.features import features
from dilo.eval.folders import LabelledFolder
from dilo.eval.linear.scoring import places
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.images.names import Names
from dilo.train.runtime import distributed
from dilo.train.runtime.options import RunOptions

#: Stands for the place of the true class of an image that could not be read.
UNREAD = -1
#: Images that the trunk sees at once.
BATCH = 256


class TestImages:
    """The features of this rank's share of the test images.

    The trunk is frozen and the crops are fixed, so that they are the same after every epoch.

    Parameters
    ----------
    encoder : Encoder
        The trunk; it is moved to the device.
    folder : LabelledFolder
        All test images.
    machine : RunOptions
        Device and workers.
    say : callable
        Told how far it is.

    Attributes
    ----------
    folder : LabelledFolder
        All test images.
    width : int
        Of a feature.
    """

    __test__ = False  # no class of tests, whatever its name

    def __init__(
        self,
        encoder: Encoder,
        folder: LabelledFolder,
        machine: RunOptions,
        say: Callable[[str], None],
    ) -> None:
        self.folder = folder
        mine = range(distributed.rank(), len(folder.names), distributed.world_size())
        names = folder.names[mine.start : mine.stop : mine.step]
        labels = folder.labels[mine.start : mine.stop : mine.step]
        share = LabelledFolder(folder.root, Names(names), labels, folder.classes)
        terminal = None if distributed.rank() == 0 else False
        with Progress(len(mine), "test images", say, terminal=terminal) as progress:
            self._found = features(
                encoder,
                share,
                batch=BATCH,
                workers=machine.workers,
                device=machine.device,
                progress=progress.advance,
            )
        place = dict(zip(share.names, mine, strict=True))
        self._positions = torch.tensor([place[name] for name in self._found.paths])
        self.width = int(self._found.vectors.shape[1])

    def places(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Find at which place a linear layer has the true class of each test image.

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

        Raises
        ------
        CheckpointError
            If a score is not finite.
        """
        found = torch.full((len(self.folder.names),), UNREAD)
        found[self._positions] = places(weight, bias, self._found.vectors, self._found.labels)
        return distributed.all_gather(found).view(distributed.world_size(), -1).amax(0)
