"""Pretraining: what a method learns from, and how its views are made on the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from dilo.pipeline.errors import DiloError, RecipeError
from dilo.pipeline.images.labels import Labels, class_remarks, labels_of, sorted_by_number
from dilo.train.augment.backgrounds import BackgroundBank, Stores, fingerprints
from dilo.train.augment.swaps import Swaps, swap_foregrounds
from dilo.train.augment.views import augment
from dilo.train.data.dataset import CropBatch, SampleSpec, ViewDataset, ViewParams
from dilo.train.data.images import ImageSet
from dilo.train.data.loader import sample_bytes
from dilo.train.engine.optim import make_optimizer
from dilo.train.engine.trainer import Result, Task, launch
from dilo.train.methods import make_method
from dilo.train.methods.base import Method, TrainingSet, ViewBatch
from dilo.train.monitor.knn_monitor import KnnMonitor
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES
from dilo.train.runtime.options import RunOptions


def train(
    recipe: Recipe,
    source: ImageSet,
    run: Path,
    machine: RunOptions,
    say: Callable[[str], None],
    *,
    backgrounds: Stores | None = None,
) -> Result:
    """Train by a recipe, from the beginning or from the run's newest checkpoint.

    Under torchrun, every rank calls it with the same arguments.
    """
    stores = backgrounds or {}
    return launch(
        lambda options, tell: Pretraining(recipe, source, options, stores, tell), run, machine, say
    )


class Pretraining(Task):
    """A method, its optimiser, and the views that it learns from.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    source : ImageSet
        Images and masks; the first folder of an image names its class.
    machine : RunOptions
        Device, workers, evaluations.
    stores : mapping of int to BackgroundStore
        What is pasted on.
    say : callable
        Told what is odd about the classes.

    Raises
    ------
    DiloError
        If there is no such method, there are no masks or labels where it needs them, ranks and
        parts cannot share its batch-norm groups, or the device has no room for the backgrounds.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: ImageSet,
        machine: RunOptions,
        stores: Stores,
        say: Callable[[str], None],
    ) -> None:
        _require_shares(recipe, machine)
        self.recipe: Recipe = recipe
        self.source, self.machine = source, machine
        side, device = recipe.views.size, machine.device
        self.bank = BackgroundBank(
            recipe.paste,
            stores,
            device,
            seed=recipe.seed,
            side=side,
            epochs=recipe.optimizer.epochs,
        )
        self.method, self.spec = _make_method(recipe, source)
        self.dataset = ViewDataset(source, recipe, self.spec)
        masked = 1.0 if self.spec.masks else recipe.paste.probability
        self.sample_bytes = sample_bytes(side, views=self.spec.views, masked=masked)
        self.has_mask = torch.from_numpy(source.has_mask[source.indices]).to(device)
        self.method.to(device).to(memory_format=torch.channels_last)
        self.model = self.method.train()
        for line in class_remarks(self.spec.classes, f"--images {source.folder}"):
            say(line)
        self.optimizer = make_optimizer(self.method, recipe.optimizer)
        self.steps_per_epoch = self.batches(0).steps_per_epoch
        classes = self.spec.classes if self.spec.labels is not None else ()
        self.data = {
            "images": source.names.digest(),
            "masks": source.store.fingerprint if source.store else "",
            "backgrounds": fingerprints(stores),
            # Other labels than those by which classes that are whole numbers once stood as text.
            "class_order": "numbers" if sorted_by_number(classes) else "",
        }
        self.notes = {"classes": classes}  # the list of images decides them
        if source.store:
            self.notes |= {"mask_store": source.store.plan.describe()}
        self.eval_every = machine.knn_every
        self.monitor: KnnMonitor | None = None
        if machine.knn_every:
            placement = machine.device, machine.workers, machine.knn_test
            self.monitor = KnnMonitor(source, recipe, *placement)

    def inputs(self, batch: CropBatch, step: int, part: int) -> ViewBatch:
        """Augment a batch on the device, with labels and masks only if the method needs them."""
        self.bank.load_epoch(step // self.steps_per_epoch)
        device, method = self.machine.device, self.method
        images = batch.images.to(device, non_blocking=True)
        masks = batch.masks.to(device, non_blocking=True)
        # On a GPU, as autocast would make of them anyway.
        dtype = DTYPES[self.machine.precision] if device.type == "cuda" else torch.float32
        views = augment(images, masks, batch.parameters, self.recipe.views, self.bank, dtype=dtype)
        views = views.contiguous(memory_format=torch.channels_last)
        samples = batch.samples.to(device, non_blocking=True)
        return ViewBatch(
            views=views.chunk(method.view_count),
            samples=samples,
            step=step,
            part=part,
            labels=batch.labels.to(device, non_blocking=True) if method.needs_labels else None,
            masks=(masks / 255).chunk(method.view_count) if method.needs_masks else (),
            swaps=self._swaps(images, masks, samples, batch.parameters, dtype)
            if self.recipe.moco.swap_negatives
            else None,
        )

    def _swaps(
        self,
        images: Tensor,
        masks: Tensor,
        samples: Tensor,
        parameters: ViewParams,
        dtype: torch.dtype,
    ) -> Swaps:
        """Swap foregrounds among the queries, the first views, of each batch-norm group.

        Of a group, so that a query has the same swap whatever the number of ranks and parts.
        """
        recipe, count = self.recipe, len(samples)
        groups = recipe.model.bn_groups
        views, present = swap_foregrounds(
            images[:count],
            masks[:count],
            parameters.rows(slice(count)),
            recipe.views,
            self.bank,
            has_mask=self.has_mask.index_select(0, samples),
            min_coverage=recipe.paste.min_coverage,
            group=recipe.optimizer.batch // groups if groups > 1 else count,
            dtype=dtype,
        )
        return Swaps(views.contiguous(memory_format=torch.channels_last), present)

    def allows_parts(self, parts: int) -> bool:
        """Check also whether the batch-norm groups can be dealt."""
        return super().allows_parts(parts) and _can_share(self.recipe, parts)

    def describe(self) -> tuple[dict[str, Any], str]:
        """Return what is trained on, and where the rate comes from."""
        facts, line = super().describe()
        facts |= {"never_pasted": self.source.never_pasted}
        if self.source.store:
            facts["mask_store"] = self.source.store.plan.describe()
        return facts, line

    def evaluate(
        self, step: int, epoch: int, between: Callable[[], object]
    ) -> tuple[dict[str, Any], str]:
        """Evaluate the encoders by nearest neighbours."""
        line = cast(KnnMonitor, self.monitor).evaluate(self.method.encoders(), step, epoch, between)
        top1 = line["knn_top1"]
        return line, f"step {step}: kNN top-1 {'none' if top1 is None else f'{top1:.1f} %'}"


def _make_method(recipe: Recipe, source: ImageSet) -> tuple[Method, SampleSpec]:
    """Make the method of a recipe, on the CPU, and the specification of its samples."""
    reason: DiloError | None = None
    labels: Labels | None = None
    try:
        labels = labels_of(source.names, f"--images {source.folder}")
    except DiloError as error:
        reason = error
    data = TrainingSet(len(source.indices), len(labels.classes) if labels else 0)
    method = make_method(recipe, data)
    if method.needs_labels and reason:
        raise reason
    swaps = recipe.moco.swap_negatives
    if (method.needs_masks or swaps) and source.store is None:
        needy = "moco.swap_negatives" if swaps else f"method {recipe.method}"
        raise DiloError(f"{needy} needs --masks DIR, got none: make it with dilo-prep masks")
    numbers = labels.numbers if labels and method.needs_labels else None
    classes = labels.classes if labels else ()
    return method, SampleSpec(method.view_count, method.needs_masks or swaps, numbers, classes)


def _can_share(recipe: Recipe, parts: int) -> bool:
    """Check whether ranks and parts can be dealt the batch-norm groups."""
    groups = recipe.model.bn_groups
    return groups == 1 or groups % (distributed.world_size() * parts) == 0


def _require_shares(recipe: Recipe, machine: RunOptions) -> None:
    """Refuse ranks and parts among which the batch-norm groups cannot be dealt."""
    if not _can_share(recipe, machine.accumulate):
        shares, groups = distributed.world_size() * machine.accumulate, recipe.model.bn_groups
        raise RecipeError(
            f"model.bn_groups must be 1 or a multiple of {distributed.world_size()} ranks times "
            f"--accumulate {machine.accumulate}, got {groups}: --set model.bn_groups={shares}, "
            f"or use fewer"
        )
