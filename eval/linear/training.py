"""Training a linear layer on a frozen trunk: crops to features to steps, on from where it stood."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import digest_of
from dilo.eval.linear.data import (
    UNLABELLED,
    UNREAD,
    CropBatch,
    EpochBatches,
    TestImages,
    TrainingCrops,
    collate,
)
from dilo.eval.linear.layer import Layer
from dilo.eval.linear.protocols import Protocol, rate
from dilo.eval.linear.results import EpochResult, Outcome, reasons
from dilo.eval.linear.saving import STATE, fitting_folder, read_state, write_classifier, write_state
from dilo.eval.linear.scoring import per_class, score
from dilo.eval.linear.unchanged import require_unchanged, weights_of
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.labels import sorted_by_number
from dilo.train.data.crop import compile_crops
from dilo.train.data.loader import make_loader, prefetch_to_device
from dilo.train.engine.claim import Claim, claim_run
from dilo.train.networks.torchfile import reason_of
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import StopSignal

#: A loss is looked at, which waits for the device, once in so many steps.
LOOK_EVERY = 50


def probe(
    encoder: Encoder,
    train: LabelledFolder,
    test: LabelledFolder,
    protocol: Protocol,
    folder: Path,
    machine: RunOptions,
    say: Callable[[str], None],
    *,
    seed: int = 0,
    aside: bool = False,
) -> Outcome:
    """Train a linear layer by a protocol, from the beginning or from where it stood.

    Under torchrun, every rank calls it with the same arguments.

    Parameters
    ----------
    encoder : Encoder
        The trunk; it is moved to the device, and stays in eval mode.
    train, test : LabelledFolder
        The images, with the same classes.
    protocol : Protocol
        How.
    folder : Path
        Of the result: the classifier, and the state to go on from.
    machine : RunOptions
        Device, precision, workers.
    say : callable
        Told in words what happens, on rank 0.
    seed : int, default 0
        Of the weights at the beginning, the order, the crops.
    aside : bool, default False
        Whether to go to a folder beside that one where another probe stands in it; else that
        is an error.

    Returns
    -------
    Outcome
        How it ended.

    Raises
    ------
    CheckpointError
        If the state there is of other settings, a score or loss is not finite, or the trunk has
        changed.
    DiloError
        If there are too few classes or images, none can be read, or another program trains in
        the folder.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020, section 4.1.
    """
    _require_enough(train, test, protocol)
    with distributed.init_process_group(machine.device) as device, StopSignal() as interruption:
        machine = dataclasses.replace(machine, device=device)
        say = say if distributed.rank() == 0 else distributed.no_log
        kept = weights_of(encoder)
        settings = _settings(encoder, digest_of(kept), train, test, protocol, machine, seed)
        if aside:
            folder = distributed.on_rank_zero(lambda: fitting_folder(folder, settings, say))
        with _left_only_if_used(folder, aside), claim_run(folder, say, interruption) as claim:
            session = _Session(
                encoder, train, test, protocol, folder, machine, say, seed, kept, settings
            )
            return session.run(interruption, claim)


@contextlib.contextmanager
def _left_only_if_used(folder: Path, aside: bool) -> Iterator[None]:
    """Remove a folder that was chosen for a probe where nothing came to lie in it."""
    try:
        yield
    finally:
        if aside and distributed.rank() == 0:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _settings(
    encoder: Encoder,
    trunk: str,
    train: LabelledFolder,
    test: LabelledFolder,
    protocol: Protocol,
    machine: RunOptions,
    seed: int,
) -> dict[str, Any]:
    """Say what a probe stands on: it goes on only with the same."""
    settings = {
        "step": encoder.step,
        "trunk": trunk,
        "size": encoder.size,
        "seed": seed,
        "precision": machine.precision,
        "train": train.names.digest(),
        "test": test.names.digest(),
        **{f"protocol.{k}": v for k, v in dataclasses.asdict(protocol).items()},
    }
    if sorted_by_number(train.classes):  # a state from before has them in another order
        settings["class_order"] = "numbers"
    return settings


def _require_enough(train: LabelledFolder, test: LabelledFolder, protocol: Protocol) -> None:
    """Refuse what makes no classifier, before any work."""
    if len(train.classes) < 2:
        raise DiloError(
            f"{train.root} must hold the folders of at least 2 classes, got "
            f"{len(train.classes)}: there is nothing to tell apart"
        )
    if protocol.batch > len(train.names):
        raise DiloError(
            f"the batch must be at most the {len(train.names)} images of {train.root}, got "
            f"{protocol.batch}: give --batch {len(train.names)} or less, which scales the "
            f"learning rate with it"
        )
    if len(test.names) < distributed.world_size():
        raise DiloError(
            f"{test.root} must hold an image for each of {distributed.world_size()} ranks, got "
            f"{len(test.names)}: use fewer"
        )


class _Session:
    """One process's share of a probe: from a start, or a resume, to an end."""

    def __init__(
        self,
        encoder: Encoder,
        train: LabelledFolder,
        test: LabelledFolder,
        protocol: Protocol,
        folder: Path,
        machine: RunOptions,
        say: Callable[[str], None],
        seed: int,
        kept: dict[str, Tensor],
        settings: dict[str, Any],
    ) -> None:
        self.encoder, self.train, self.protocol = encoder, train, protocol
        self.folder, self.machine, self.say, self.seed = folder, machine, say, seed
        self.kept, self.settings = kept, settings
        self.state = read_state(self.folder, self.settings)
        self.test = TestImages(encoder, test, machine, say)
        self.layer = Layer(self.test.width, len(train.classes), protocol, machine.device, seed)
        self.steps_per_epoch = EpochBatches(len(train.names), protocol, seed).steps_per_epoch
        self.step, self.curve = 0, list[EpochResult]()
        self.unreadable: set[int] = set()

    def run(self, interruption: StopSignal, claim: Claim) -> Outcome:
        """Take up the state, take the steps that are left, and say how it ended."""
        self.claim = claim
        self._resume()
        steps = self.steps_per_epoch * self.protocol.epochs
        if self.step < steps and (signal := self._take(interruption, steps)):
            return Outcome(curve=tuple(self.curve), signal=signal)
        return self._finish()

    def _resume(self) -> None:
        """Stand where the state says, on all ranks alike."""
        if self.state is not None:
            self._take_up(self.state)
            self.say(f"going on from epoch {self.step / self.steps_per_epoch:.2f}")
        stood = distributed.all_gather(torch.tensor([self.step])).tolist()
        if len(set(stood)) > 1:
            raise CheckpointError(
                f"{self.folder} must be the same folder on all ranks, got steps {stood}: "
                f"give an --out that all machines share"
            )

    def _take_up(self, state: dict[str, Any]) -> None:
        """Take up a state, whose values are whoever's wrote the file."""
        try:
            self.step = state["step"]
            self.layer.restore(state["layer"])
            self.unreadable = set(state["unreadable"])
            self.curve = [EpochResult(**result) for result in state["curve"]]
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.folder / STATE} must hold the state of this layer and its optimiser, but "
                f"taking it up failed ({reason_of(error)}): give another --out"
            ) from error

    def _take(self, interruption: StopSignal, steps: int) -> str:
        """Take the steps that are left; name the signal that stopped them, if one did."""
        compile_crops(self.say)
        batches = EpochBatches(len(self.train.names), self.protocol, self.seed, self.step)
        crops = TrainingCrops(self.train, self.protocol, self.encoder.size, self.seed)
        cuda = self.machine.device.type == "cuda"
        stream: Iterable[Any] = make_loader(
            crops, batches, workers=self.machine.workers, pin=cuda, collate_fn=collate
        )
        left = (steps - self.step) * self.protocol.batch
        terminal = None if distributed.rank() == 0 else False
        with Progress(left, "images", self.say, terminal=terminal) as bar:
            for batch, _ in prefetch_to_device(stream, self.machine.device, ("crops",)):
                self._learn(batch)
                self.step += 1
                if self.step % LOOK_EVERY == 0:
                    self.layer.mean_loss()
                if self.step % self.steps_per_epoch == 0:
                    self._end_epoch()
                bar.advance(self.protocol.batch, self._note())
                (came,) = distributed.any_rank([bool(interruption.name)])
                if came and self.step < steps:
                    self._save()
                    return interruption.name or "on another rank"
        return ""

    def _learn(self, batch: CropBatch) -> None:
        """Take one step, all ranks the same one, each having made features of its share.

        Features are exchanged, not gradients: of the usual batch, width and number of classes
        that is less, and no rank's layer can drift from another's.
        """
        told = distributed.all_gather(batch.told)
        features = distributed.all_gather(self._features(batch.crops))
        position, label = told.unbind(1)
        self.unreadable.update(position[(label == UNLABELLED) & (position >= 0)].tolist())
        passed = self.step / self.steps_per_epoch
        self.layer.learn(features, label, rate(self.protocol, passed))

    @torch.no_grad()
    def _features(self, crops: Tensor) -> Tensor:
        """Run the trunk."""
        device, precision = self.machine.device, self.machine.precision
        if device.type == "cuda":
            crops = crops.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            return self.encoder.features(crops / 255).float()

    def _end_epoch(self) -> None:
        """Score the layer, start the next epoch's sums, and save."""
        if not self.layer.seen:
            raise DiloError(
                f"{self.train.root} must hold images that can be read, but none could: "
                "check the files"
            )
        epoch, loss = self.step // self.steps_per_epoch, self.layer.mean_loss()
        found = self._places()
        scored = score(found[found != UNREAD])
        self.curve.append(EpochResult(epoch, self.layer.lr, loss, scored.top1, scored.top5))
        self.say(f"epoch {epoch} of {self.protocol.epochs}: {self._note()}")
        self.layer.start_epoch()
        self._save()

    def _note(self) -> str:
        """Say how the last epoch ended."""
        if not self.curve:
            return ""
        last = self.curve[-1]
        return f"loss {last.loss:.4f}, top-1 {last.top1:.2f} %, top-5 {last.top5:.2f} %"

    def _places(self) -> Tensor:
        """Find the places of the true classes of the test images."""
        return self.test.places(self.layer.weight, self.layer.bias)

    def _save(self) -> None:
        """Write the state, once the trunk is proved to be what it was."""
        require_unchanged(self.encoder, self.kept)
        state = {
            "step": self.step,
            "layer": self.layer.state(),
            "unreadable": sorted(self.unreadable),
            "curve": [dataclasses.asdict(result) for result in self.curve],
        }
        distributed.on_rank_zero(lambda: self._write_state(state))

    def _write_state(self, state: dict[str, Any]) -> None:
        """Write the state, if the probe is still this one's."""
        self.claim.require()
        write_state(self.folder, self.settings, state)

    def _finish(self) -> Outcome:
        """Score the last layer class by class, and write the classifier."""
        require_unchanged(self.encoder, self.kept)
        found, test = self._places(), self.test.folder
        read = found != UNREAD
        outcome = Outcome(
            curve=tuple(self.curve),
            per_class=per_class(found[read], test.labels[read], test.classes),
            classes=len(self.train.classes),
            train_images=len(self.train.names) - len(self.unreadable),
            test_images=int(read.sum()),
            ranks=distributed.world_size(),
            unreadable=(
                *reasons(self.train, sorted(self.unreadable)),
                *reasons(test, (~read).nonzero().flatten().tolist()),
            ),
        )
        path = distributed.on_rank_zero(lambda: self._write(outcome))
        return dataclasses.replace(outcome, classifier=path, folder=self.folder)

    def _write(self, outcome: Outcome) -> Path:
        """Write the classifier of the last epoch."""
        return write_classifier(
            self.folder,
            self.encoder,
            (self.layer.weight, self.layer.bias),
            self.train.classes,
            epoch=self.protocol.epochs,
            best_acc1=outcome.best.top1,
            about={"protocol": dataclasses.asdict(self.protocol), "seed": self.seed},
        )
