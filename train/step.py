"""One optimiser step: crops to views on the device, through the method, to new weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.labels import Labels, labels_of
from dilo.train.augment import augment
from dilo.train.backgrounds import Bank
from dilo.train.data import Batch, Source, Wanted
from dilo.train.descent import Descent
from dilo.train.machine import Machine
from dilo.train.method import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.methods import make_method
from dilo.train.recipe import Recipe


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
