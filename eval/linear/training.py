"""Training a linear layer on a frozen backbone: crops to features to steps, resumable."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.eval.features.extraction import run_backbone
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import digest_of
from dilo.eval.linear.data import (
    UNLABELLED,
    UNREAD,
    CropBatch,
    EpochBatches,
    TestFeatures,
    TrainingCrops,
    collate,
)
from dilo.eval.linear.layer import LinearClassifier
from dilo.eval.linear.protocols import Protocol, learning_rate
from dilo.eval.linear.results import (
    EpochResult,
    ProbeResult,
    last_outcomes,
    unreadable_reasons,
)
from dilo.eval.linear.saving import STATE, fitting_folder, read_state, write_classifier, write_state
from dilo.eval.linear.scoring import per_class, topk_accuracy
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.labels import sorted_by_number
from dilo.train.data.crop import compile_crops
from dilo.train.data.loader import make_loader, prefetch_to_device
from dilo.train.engine.claim import Claim, claim_run
from dilo.train.runtime import distributed
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import StopSignal
from dilo.train.weights.torchfile import reason_of

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
    name: str = "",
) -> ProbeResult:
    """Train a linear layer by a protocol, from the beginning or from where it was interrupted.

    Under torchrun, every rank calls it with the same arguments. The classifier and the state to
    resume from go to `folder`; with `aside`, to a folder beside that one, with `name` in its own
    name, where another probe stands in it, which else is an error.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020, section 4.1.
    """
    _require_enough(train, test, protocol)
    with distributed.init_process_group(machine.device) as device, StopSignal() as interruption:
        machine = dataclasses.replace(machine, device=device)
        say = say if distributed.rank() == 0 else distributed.no_log
        settings = _settings(encoder, train, test, protocol, machine, seed)
        if aside:
            folder = distributed.on_rank_zero(lambda: fitting_folder(folder, settings, say, name))
        with _left_only_if_used(folder, aside), claim_run(folder, say, interruption) as claim:
            session = _Session(encoder, train, test, protocol, folder, machine, say, seed, settings)
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
    train: LabelledFolder,
    test: LabelledFolder,
    protocol: Protocol,
    machine: RunOptions,
    seed: int,
) -> dict[str, Any]:
    """Say what a probe stands on: it is resumed only with the same."""
    settings = {
        "step": encoder.step,
        "backbone": digest_of(encoder.network.state_dict()),
        "size": encoder.size,
        "seed": seed,
        "precision": machine.precision,
        "train": distributed.on_rank_zero(lambda: train.digest),
        "test": distributed.on_rank_zero(lambda: test.digest),
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
            f"{len(train.classes)}: there is nothing to classify"
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


def check_frozen(encoder: Encoder, digest: str) -> None:
    """Refuse a backbone whose weights or statistics are not those that gave the digest.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: the check of its repository's linear evaluation.
    """
    if digest_of(encoder.network.state_dict()) != digest:
        raise CheckpointError(
            f"the backbone must stay as it was read from {encoder.source}, but its weights or "
            "statistics changed: the result is void; was the network in train mode?"
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
        settings: dict[str, Any],
    ) -> None:
        self.encoder, self.train, self.protocol = encoder, train, protocol
        self.folder, self.machine, self.say, self.seed = folder, machine, say, seed
        self.settings = settings
        self.state = read_state(self.folder, self.settings)
        self.test = TestFeatures(encoder, test, machine, say)  # prepares the network too
        self.layer = LinearClassifier(
            self.test.width, len(train.classes), protocol, machine.device, seed
        )
        self.steps_per_epoch = EpochBatches(len(train.names), protocol, seed).steps_per_epoch
        self.step, self.curve = 0, list[EpochResult]()
        self.unreadable: set[int] = set()

    def run(self, interruption: StopSignal, claim: Claim) -> ProbeResult:
        """Take up the state, take the steps that are left, and give the result."""
        self.claim = claim
        self._resume()
        steps = self.steps_per_epoch * self.protocol.epochs
        if self.step < steps and (signal := self._take(interruption, steps)):
            return ProbeResult(curve=tuple(self.curve), signal=signal)
        return self._finish()

    def _resume(self) -> None:
        """Stand where the state says, on all ranks alike."""
        if self.state is not None:
            self._take_up(self.state)
            self.say(f"resuming from epoch {self.step / self.steps_per_epoch:.2f}")
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
                f"loading it failed ({reason_of(error)}): give another --out"
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
                self._step(batch)
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

    def _step(self, batch: CropBatch) -> None:
        """Take one step, all ranks the same one, each having made features of its share.

        Features are exchanged, not gradients: of the usual batch, width and number of classes
        that is less, and no rank's layer can drift from another's.
        """
        samples = distributed.all_gather(batch.samples)
        features = run_backbone(self.encoder, batch.crops, self.machine.precision)
        positions, labels = samples.unbind(1)
        self.unreadable.update(positions[(labels == UNLABELLED) & (positions >= 0)].tolist())
        epochs = self.step / self.steps_per_epoch
        self.layer.step(
            distributed.all_gather(features), labels, learning_rate(self.protocol, epochs)
        )

    def _end_epoch(self) -> None:
        """Score the layer, start the next epoch's sums, and save."""
        if not self.layer.seen:
            raise DiloError(
                f"{self.train.root} must hold images that can be read, but none could: "
                "check the files"
            )
        epoch, loss = self.step // self.steps_per_epoch, self.layer.mean_loss()
        ranks = self._ranks()
        accuracy = topk_accuracy(ranks[ranks != UNREAD])
        self.curve.append(EpochResult(epoch, self.layer.lr, loss, accuracy.top1, accuracy.top5))
        self.say(f"epoch {epoch} of {self.protocol.epochs}: {self._note()}")
        self.layer.start_epoch()
        self._save()

    def _note(self) -> str:
        """Say how the last epoch ended."""
        if not self.curve:
            return ""
        last = self.curve[-1]
        return f"loss {last.loss:.4f}, top-1 {last.top1:.2f} %, top-5 {last.top5:.2f} %"

    def _ranks(self) -> Tensor:
        """Find the ranks of the true classes of the test images."""
        return self.test.ranks(self.layer.weight, self.layer.bias)

    def _save(self) -> None:
        """Write the state, once the backbone is proved to be what it was."""
        check_frozen(self.encoder, self.settings["backbone"])
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

    def _finish(self) -> ProbeResult:
        """Score the last layer class by class, and write the classifier."""
        check_frozen(self.encoder, self.settings["backbone"])
        ranks, test = self._ranks(), self.test.folder
        read = ranks != UNREAD
        paths = [test.names[position] for position in read.nonzero().flatten().tolist()]
        result = ProbeResult(
            curve=tuple(self.curve),
            per_class=per_class(ranks[read], test.labels[read], test.classes),
            outcomes=distributed.on_rank_zero(
                lambda: last_outcomes(self.settings["test"], paths, ranks[read])
            ),
            classes=len(self.train.classes),
            train_images=len(self.train.names) - len(self.unreadable),
            test_images=int(read.sum()),
            ranks=distributed.world_size(),
            unreadable=(
                *unreadable_reasons(self.train, sorted(self.unreadable)),
                *unreadable_reasons(test, (~read).nonzero().flatten().tolist()),
            ),
        )
        path = distributed.on_rank_zero(lambda: self._write(result))
        return dataclasses.replace(result, classifier=path, folder=self.folder)

    def _write(self, result: ProbeResult) -> Path:
        """Write the classifier of the last epoch."""
        return write_classifier(
            self.folder,
            self.encoder,
            (self.layer.weight, self.layer.bias),
            self.train.classes,
            epoch=self.protocol.epochs,
            best_acc1=result.best.top1,
            about={"protocol": dataclasses.asdict(self.protocol), "seed": self.seed},
        )
