"""How a linear probe ended: its epochs, its classes, and what it could not read."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dilo.eval.folders import LabelledFolder
from dilo.pipeline.images.names import escaped
from dilo.train.data.evaluation import EvalImages


@dataclass(frozen=True)
class EpochResult:
    """What an epoch came to.

    Attributes
    ----------
    epoch : int
        Epochs trained: 1 after the first.
    lr : float
        The learning rate of its last step.
    loss : float
        Mean over its training images, as each was when it was met.
    top1, top5 : float
        Per cent of the test images after it.
    """

    epoch: int
    lr: float
    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a probe ended.

    Attributes
    ----------
    curve : tuple of EpochResult
        Every epoch.
    per_class : dict of str to float
        Top-1 of each class after the last epoch, in per cent.
    classes : int
        Classes of the layer.
    train_images, test_images : int
        Images that could be read.
    unreadable : tuple of (str, str)
        Path of each of the others, and why.
    classifier : Path or None
        The last epoch's layer with its trunk; None where a signal came before the end.
    ranks : int
        Processes that trained together.
    signal : str
        What asked it to stop; empty if nothing did.
    folder : Path or None
        Where the result goes; None where a signal came before the end.
    """

    curve: tuple[EpochResult, ...]
    per_class: dict[str, float] = field(default_factory=dict)
    classes: int = 0
    train_images: int = 0
    test_images: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    classifier: Path | None = None
    ranks: int = 1
    signal: str = ""
    folder: Path | None = None

    @property
    def best(self) -> EpochResult:
        """Give the epoch with the highest top-1, which the MoCo repository calls best_acc1.

        Returns
        -------
        EpochResult
            The first of equals.
        """
        return max(self.curve, key=lambda result: result.top1)


def reasons(folder: LabelledFolder, positions: Iterable[int]) -> list[tuple[str, str]]:
    """Read images again that could not be read, for the reasons, which ranks do not exchange.

    Parameters
    ----------
    folder : LabelledFolder
        Where they are.
    positions : iterable of int
        Which.

    Returns
    -------
    list of (str, str)
        Path of each, and why it could not be read.
    """
    again = EvalImages(folder.root, folder.names, 1)
    told = []
    for position in positions:
        _, reason = again[position]
        words = reason if isinstance(reason, str) else "could not be read when it was its turn"
        told.append((str(folder.root / escaped(folder.names[position])), words))
    return told
