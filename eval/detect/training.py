"""Training a detector: the task of the loop, and batch norm's statistics measured at its end."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from dilo.eval.detect.annotations import DetectionSet
from dilo.eval.detect.batches import GroupedBatches
from dilo.eval.detect.groups import in_groups
from dilo.eval.detect.models import frozen_layers, make_detector, require_backbone
from dilo.eval.detect.norms import PreciseStatistics, SharedStatistics
from dilo.eval.detect.recipe import DetectionRecipe, learning_rate
from dilo.eval.detect.samples import BOXES, DetectionBatch, Sample, TrainingImages, collate
from dilo.eval.features.provenance import digest_of
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.common.rng import generator
from dilo.train.data.loader import make_loader, prefetch_factor
from dilo.train.engine.optim import base_rate
from dilo.train.engine.trainer import Task
from dilo.train.methods.base import StepOutput, TrainableModel
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES
from dilo.train.runtime.options import RunOptions

#: Losses of the first step of sound weights are about these: of guessing among classes, and of
#: objectness without an opinion. Further off, the weights were lost on their way.
_FIRST_OBJECTNESS, _FAR = math.log(2), 1.5


@dataclass(frozen=True, eq=False)
class GroupedImages:
    """A rank's groups of a batch, on the device."""

    #: Images of each group, RGB of 0 to 255, (3, H, W), float32, with their targets.
    groups: tuple[tuple[list[Tensor], list[dict[str, Any]]], ...]
    #: What each group draws from.
    generators: tuple[torch.Generator, ...]


class DetectorModel(TrainableModel):
    """A detector that learns from groups of images.

    Parameters
    ----------
    detector : GeneralizedRCNN
        The network.
    frozen : str
        Last layer of its backbone that stays in eval mode; "" for none.
    """

    def __init__(self, detector: GeneralizedRCNN, frozen: str) -> None:
        super().__init__()
        self.detector = detector
        self._frozen = frozen_layers(frozen)

    def train(self, mode: bool = True) -> "DetectorModel":
        """Switch to train mode, but for the layers that stay as they are."""
        super().train(mode)
        body: Any = self.detector.backbone
        body = getattr(body, "body", body)
        for name in self._frozen:
            body[name].eval()
        return self

    def forward(self, batch: GroupedImages) -> StepOutput:
        """Return the mean over the groups of the sum of all losses, and of each loss."""
        losses: list[dict[str, Tensor]] = in_groups(
            lambda group: self.detector(*group), batch.groups, batch.generators
        )
        means = {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}
        total = torch.stack(list(means.values())).sum()
        return StepOutput(total, {name: value.detach() for name, value in means.items()})


class DetectionTask(Task):
    """A detector on a pretrained backbone, and the images that it learns from.

    Parameters
    ----------
    encoder : Encoder
        The backbone, whose network is changed.
    data : DetectionSet
        Images with an object each.
    recipe : DetectionRecipe
        What to do.
    machine : RunOptions
        Device, workers, precision.

    Raises
    ------
    DiloError
        If the backbone cannot serve, or the ranks cannot share the groups.
    """

    copied = ()
    remedy = "try --precision fp32, or a lower --set optimizer.lr"

    def __init__(
        self, encoder: Encoder, data: DetectionSet, recipe: DetectionRecipe, machine: RunOptions
    ) -> None:
        network = require_backbone(encoder)
        self.recipe: DetectionRecipe = recipe
        self.machine, self._data = machine, data
        self.data = {
            "images": data.digest,
            "backbone": digest_of(network.state_dict()),
            "kind": "detection",
        }
        self.notes = {"classes": data.classes}
        detector = make_detector(network, recipe.model, space=encoder.space, seed=recipe.seed)
        self.model: DetectorModel = DetectorModel(detector, recipe.model.frozen)
        self.model.to(machine.device).train()
        self.optimizer = make_sgd(self.model, recipe)
        self.dataset = TrainingImages(data, recipe)
        self.steps_per_epoch = recipe.schedule.iterations
        self.sample_bytes = 3 * max(recipe.data.sides) * recipe.data.longest
        self.batches(0)  # which refuses ranks that cannot share the groups

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile nothing: there is nothing to compile."""

    def batches(self, step: int) -> GroupedBatches:  # type: ignore[override]
        """Make the order of this rank's batches from a step on."""
        return GroupedBatches(self._data, self.recipe, step)

    def loader(self, step: int) -> Iterable[DetectionBatch]:
        """Load this rank's batches from a step on."""
        return self._load(self.batches(step))

    def _load(self, batches: GroupedBatches) -> Iterable[DetectionBatch]:
        """Load batches, a few ahead."""
        workers, pin = self.machine.workers, self.machine.device.type == "cuda"
        share = self.recipe.optimizer.batch // distributed.world_size()
        ahead = prefetch_factor(workers, share * self.sample_bytes)
        return make_loader(
            self.dataset,
            batches,
            workers=workers,
            pin=pin,
            collate_fn=collate,
            prefetch_factor=ahead,
        )

    def inputs(self, batch: DetectionBatch, step: int, part: int) -> GroupedImages:
        """Bring a batch to the device, group by group."""
        size, samples = self.recipe.per_group, batch.samples
        groups = [samples[first : first + size] for first in range(0, len(samples), size)]
        return GroupedImages(
            tuple(map(self._group, groups)),
            tuple(self._generator(step, group[0].key.group) for group in groups),
        )

    def _group(self, samples: Sequence[Sample]) -> tuple[list[Tensor], list[dict[str, Any]]]:
        """Bring a group to the device."""
        device = self.machine.device
        images = [sample.image.to(device, non_blocking=True).float() for sample in samples]
        targets = [
            {
                "boxes": sample.boxes.to(device, non_blocking=True),
                "labels": sample.labels.to(device, non_blocking=True),
                "polygons": sample.polygons,
            }
            for sample in samples
        ]
        return images, targets

    def _generator(self, step: int, group: int) -> torch.Generator:
        """Make the generator of a group at a step, from the seed alone."""
        numbers = generator(self.recipe.seed, BOXES, step, group)
        seed = int(numbers.bit_generator.random_raw()) >> 1
        return torch.Generator(self.machine.device).manual_seed(seed)

    def allows_parts(self, parts: int) -> bool:
        """Allow none: each would be normalised by itself."""
        return parts == 1

    def advice_on_memory(self) -> str:
        """Say how a step could have room on the device."""
        batch, size = self.recipe.optimizer.batch, self.recipe.per_group
        if batch <= size:
            return "give --precision bf16, a smaller --size, or another device"
        return (
            f"use more GPUs with torchrun, give --precision bf16, or --batch {batch // 2}, whose "
            "learning rate and iterations follow from it"
        )

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of the step that follows `step` steps."""
        return learning_rate(self.recipe.schedule, base_rate(self.recipe.optimizer), step)

    def describe(self) -> tuple[dict[str, Any], str]:
        """Return what is trained on, and how a batch is taken."""
        recipe = self.recipe
        facts = {"images": len(self._data.images), "images_in_folder": len(self._data.images)}
        return facts, f"{len(self._data.images)} images of {self._data.name}; {taken(recipe)}"

    def evaluate(
        self, step: int, epoch: int, between: Callable[[], object]
    ) -> tuple[dict[str, Any], str]:
        """Measure nothing on the way."""
        raise NotImplementedError("eval_every is 0")

    def remarks(self, metrics: Mapping[str, Any]) -> Sequence[str]:
        """Say what is odd about the losses of the first step: now, not when all are taken."""
        first = metrics["step"] == 1
        return strange_losses(metrics, self.recipe.model.classes) if first else ()

    def measure_statistics(self, say: Callable[[str], None], stop: Callable[[], object]) -> None:
        """Set the statistics of batch norm to those of further batches; all ranks call it.

        `stop` is called before each batch, on all ranks as often; what it raises ends it.
        """
        first, count = self.recipe.schedule.iterations, self.recipe.precise_norm
        loader = self._load(GroupedBatches(self._data, self.recipe, first, first + count))
        terminal = None if distributed.rank() == 0 else False
        dtype = DTYPES[self.machine.precision]
        device, half = self.machine.device.type, dtype is not torch.float32
        self.model.train()
        with Progress(count, "batches for statistics", say, terminal=terminal) as bar:

            def forward(batch: DetectionBatch) -> None:
                stop()
                step = batch.samples[0].key.iteration
                with torch.autocast(device, dtype, enabled=half):
                    self.model(self.inputs(batch, step, 0))
                bar.advance(1, "")

            PreciseStatistics(self.model).measure(loader, forward)


def taken(recipe: DetectionRecipe) -> str:
    """Say in words by which machines a batch could be taken so, and by which it is.

    Examples
    --------
    >>> taken(DetectionRecipe())
    '8 groups of 2 images, as 8 GPUs would take a batch of 16, in 1 process'
    """
    groups, ranks = recipe.groups, distributed.world_size()
    gpus = "1 GPU" if groups == 1 else f"{groups} GPUs"
    return (
        f"{groups} {'group' if groups == 1 else 'groups'} of {recipe.per_group} images, as {gpus} "
        f"would take a batch of {recipe.optimizer.batch}, in {ranks} "
        f"{'process' if ranks == 1 else 'processes'}"
    )


def make_sgd(model: nn.Module, recipe: DetectionRecipe) -> torch.optim.SGD:
    """Make the optimiser: biases decay as weights do, batch norm does not.

    Parameters
    ----------
    model : Module
        The model; what needs no gradient is left out.
    recipe : DetectionRecipe
        Rate, momentum and decay.

    Returns
    -------
    torch.optim.SGD
        With a group of what decays and one of what does not.
    """
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, SharedStatistics)
        for parameter in module.parameters()
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = recipe.optimizer
    groups: list[dict[str, Any]] = [
        {"params": [each for each in trained if id(each) not in norms]},
        {"params": [each for each in trained if id(each) in norms], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        lr=base_rate(settings),
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


def strange_losses(metrics: Mapping[str, Any], classes: int) -> list[str]:
    """Say what the losses of the first step tell of weights that were lost on their way.

    Parameters
    ----------
    metrics : mapping
        Of the first step, as metrics.jsonl has them.
    classes : int
        Classes, without the background.

    Returns
    -------
    list of str
        A line for each loss that is far from what sound weights begin with.
    """
    usual = {"loss_classifier": math.log(classes + 1), "loss_objectness": _FIRST_OBJECTNESS}
    return [
        f"the first step's {name} was {value:.3g}, where sound weights begin near {start:.3g}: is "
        "the backbone damaged, or of other colours?"
        for name, start in usual.items()
        if isinstance(value := metrics.get(name), int | float) and abs(value - start) > _FAR * start
    ]
