"""Pretraining: views of images to losses of a method, on from wherever it stopped."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.pipeline.errors import DiloError, RecipeError
from dilo.pipeline.images.labels import Labels, class_remarks, labels_of, sorted_by_number
from dilo.train.augment.backgrounds import Bank, Stores, fingerprints
from dilo.train.augment.views import augment
from dilo.train.data.dataset import Batch, Views, Wanted
from dilo.train.data.images import Source
from dilo.train.data.loader import Arrived, Batches, grouped, loader, prefetched
from dilo.train.engine.checkpoint import Learns, Position
from dilo.train.engine.optim import learning_rate, make_optimizer, rate_words
from dilo.train.engine.trainer import Descent, Result, Session
from dilo.train.methods import make_method
from dilo.train.methods.base import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.monitor.knn_monitor import Monitor
from dilo.train.networks.weights import PREFIX
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime import distributed
from dilo.train.runtime.options import Machine
from dilo.train.runtime.signals import Interruption


@dataclass(frozen=True)
class Learner(Learns):
    """A method that learns.

    Attributes
    ----------
    method : Method
        Networks and memory.
    """

    method: Method

    def weights(self) -> dict[str, Any]:
        """Give what is learnt.

        Returns
        -------
        dict
            `state_dict`, as the MoCo repository saves it.
        """
        state = {PREFIX + name: value for name, value in self.method.state_dict().items()}
        return {"state_dict": state}

    def take_up(self, content: dict[str, Any]) -> None:
        """Take up what was learnt.

        Parameters
        ----------
        content : dict
            As `weights` gives it.
        """
        state = {k.removeprefix(PREFIX): v for k, v in content["state_dict"].items()}
        self.method.load_state_dict(state)


def prepare(recipe: Recipe, source: Source, device: torch.device) -> tuple[Method, Wanted]:
    """Make the method of a recipe, on a device, and find what it wants of each image.

    Parameters
    ----------
    recipe : Recipe
        Method, networks and seed.
    source : Source
        Images and masks; the first folder of an image names its class.
    device : torch.device
        Where the method is to be.

    Returns
    -------
    method : Method
        Untrained.
    wanted : Wanted
        Its views, and masks and labels if it needs them.

    Raises
    ------
    DiloError
        If there is no such method, or no masks or labels where it needs them.
    """
    reason: DiloError | None = None
    labels: Labels | None = None
    try:
        labels = labels_of(source.names, f"--images {source.folder}")
    except DiloError as error:
        reason = error
    data = TrainingSet(len(source.usable), len(labels.classes) if labels else 0)
    method = make_method(recipe, data).to(device)
    method.to(memory_format=torch.channels_last)
    if method.needs_labels and reason:
        raise reason
    if method.needs_masks and source.store is None:
        raise DiloError(
            f"method {recipe.method} needs --masks DIR, got none: make it with dilo-prep masks"
        )
    numbers = labels.numbers if labels and method.needs_labels else None
    classes = labels.classes if labels else ()
    return method, Wanted(method.view_count, method.needs_masks, numbers, classes)


class Stepper(Descent):
    """A method, its optimiser, and how this machine takes a step with them.

    Parameters
    ----------
    recipe : Recipe
        Views, and what they are pasted on.
    machine : Machine
        Device, precision, whether to compile.
    method : Method
        On the device.
    optimizer : Optimizer
        Of its parameters.
    bank : Bank
        Backgrounds, on the device.
    """

    def __init__(
        self,
        recipe: Recipe,
        machine: Machine,
        method: Method,
        optimizer: torch.optim.Optimizer,
        bank: Bank,
    ) -> None:
        super().__init__(machine, method, optimizer)
        self.recipe, self.method, self.bank = recipe, method, bank

    def take(self, parts: Sequence[Batch], *, step: int, epoch: int, rate: float) -> StepOutput:
        """Take a step.

        Parameters
        ----------
        parts : sequence of Batch
            This rank's share of the batch, in parts whose gradients are added.
        step : int
            Steps taken before.
        epoch : int
            Whole epochs among them.
        rate : float
            Learning rate.

        Returns
        -------
        StepOutput
            Means over the parts of loss and scalars, of this rank, on the device.
        """
        self.bank.fill(epoch)
        self.set_rate(rate)
        views = (self.views(batch, step=step, part=part) for part, batch in enumerate(parts))
        return self.learn(views, len(parts))

    def views(self, batch: Batch, *, step: int = 0, part: int = 0) -> ViewBatch:
        """Augment views on the device.

        Parameters
        ----------
        batch : Batch
            Crops, on the device or on their way.
        step, part : int
            As `ViewBatch` has them.

        Returns
        -------
        ViewBatch
            What the method wants.
        """
        device = self.machine.device
        images = batch.images.to(device, non_blocking=True)
        masks = batch.masks.to(device, non_blocking=True)
        views = augment(images, masks, batch.parameters, self.recipe.views, self.bank)
        views = views.contiguous(memory_format=torch.channels_last)
        return self.handed(views, batch.samples, batch.labels, masks, step=step, part=part)

    def handed(
        self,
        views: Tensor,
        samples: Tensor,
        labels: Tensor,
        masks: Tensor,
        *,
        step: int = 0,
        part: int = 0,
    ) -> ViewBatch:
        """Put together what the method wants.

        Parameters
        ----------
        views : Tensor of shape (V B, 3, s, s), float32
            On the device, view by view.
        samples, labels : Tensor of shape (B,), int64
            Which images, and their classes.
        masks : Tensor of shape (V B, 1, s, s), uint8
            On the device.
        step, part : int
            As `ViewBatch` has them.

        Returns
        -------
        ViewBatch
            Labels and masks in it only if the method needs them.
        """
        device, method = self.machine.device, self.method
        return ViewBatch(
            views=views.chunk(method.view_count),
            samples=samples.to(device, non_blocking=True),
            step=step,
            part=part,
            labels=labels.to(device, non_blocking=True) if method.needs_labels else None,
            masks=(masks / 255).chunk(method.view_count) if method.needs_masks else (),
        )


def train(
    recipe: Recipe,
    source: Source,
    run: Path,
    machine: Machine,
    say: Callable[[str], None],
    *,
    backgrounds: Stores | None = None,
) -> Result:
    """Train by a recipe, from the beginning or from the run's newest checkpoint.

    Under torchrun, every rank calls it with the same arguments.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    source : Source
        Images and masks.
    run : Path
        Folder of the run: checkpoints/, metrics.jsonl, recipe.toml, run.json, state.
    machine : Machine
        Where to do it.
    say : callable
        Told in words what happens, on rank 0.
    backgrounds : mapping of int to BackgroundStore, optional
        What the recipe pastes on, but gray and noise.

    Returns
    -------
    Result
        How it ended.

    Raises
    ------
    DiloError
        If the run cannot go on from its checkpoints, the data or the number of ranks does not
        serve, the device has no room for the backgrounds, or the loss is no number.
    """
    with distributed.joined(machine.device) as device, Interruption() as interruption:
        machine = dataclasses.replace(machine, device=device)
        say = say if distributed.rank() == 0 else distributed.silence
        return _Session(recipe, source, run, machine, say, backgrounds or {}, interruption).run()


def _require_shares(recipe: Recipe, machine: Machine) -> None:
    """Refuse ranks and parts among which the batch-norm groups cannot be dealt."""
    shares, groups = distributed.size() * machine.parts, recipe.model.bn_groups
    if groups > 1 and groups % shares:
        raise RecipeError(
            f"model.bn_groups must be 1 or a multiple of {distributed.size()} ranks times "
            f"--accumulate {machine.parts}, got {groups}: --set model.bn_groups={shares}, "
            f"or use fewer"
        )


class _Session(Session[Recipe, Batch]):
    """One process's share of a run of pretraining."""

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        run: Path,
        machine: Machine,
        say: Callable[[str], None],
        stores: Stores,
        interruption: Interruption,
    ) -> None:
        _require_shares(recipe, machine)
        self.source = source
        bank = Bank(recipe, stores, machine.device)
        method, self.wanted = prepare(recipe, source, machine.device)
        method.train()
        for line in class_remarks(self.wanted.classes, f"--images {source.folder}"):
            say(line)
        classes = self.wanted.classes if self.wanted.labels is not None else ()
        optimizer = make_optimizer(method, recipe.optimizer)
        self.stepper = Stepper(recipe, machine, method, optimizer, bank)
        super().__init__(
            *(recipe, run, machine, say, interruption),
            learner=Learner(method, optimizer=optimizer, scaler=self.stepper.scaler),
            data=Position(
                step=0,
                epoch=0,
                images=source.names.digest(),
                masks=source.store.fingerprint if source.store else "",
                backgrounds=fingerprints(stores),
                class_order="numbers" if sorted_by_number(classes) else "",
                classes=classes,
            ),
            steps_per_epoch=Batches(source.usable, recipe, 0, machine.parts).steps_per_epoch,
        )
        self.monitor: Monitor | None = None
        if machine.knn_every:
            self.read_out_every = machine.knn_every
            where = machine.device, machine.workers, machine.knn_test
            self.monitor = Monitor(source, recipe, *where)

    def facts(self) -> dict[str, Any]:
        return {
            "images": len(self.source.usable),
            "images_in_folder": self.source.in_folder,
            "never_pasted": self.source.never_pasted,
        }

    def rate_words(self) -> str:
        return rate_words(self.recipe.optimizer)

    def parts(self) -> Generator[list[Arrived[Batch]]]:
        stream: Any = loader(
            Views(self.source, self.recipe, self.wanted),
            Batches(self.source.usable, self.recipe, self.step, self.machine.parts),
            workers=self.machine.workers,
            pin=self.machine.device.type == "cuda",
        )
        with contextlib.closing(prefetched(stream, self.machine.device)) as arriving:
            yield from grouped(arriving, self.machine.parts)

    def take(self, batches: list[Batch], epoch: int) -> tuple[StepOutput, float]:
        rate = learning_rate(self.recipe.optimizer, self.step, self.steps_per_epoch)
        return self.stepper.take(batches, step=self.step, epoch=epoch, rate=rate), rate

    def read_out(self, epoch: int) -> None:
        if self.monitor:
            networks = self.stepper.method.encoders()
            where = networks, self.step, epoch, self.give_way
            look = functools.partial(self.monitor.line, *where)
            self.watch.read_out(look, _knn_words)


def _knn_words(line: dict[str, Any]) -> str:
    """Say what the kNN read-out found."""
    found = line["knn_top1"]
    return f"step {line['step']}: kNN top-1 {'none' if found is None else f'{found:.1f} %'}"
