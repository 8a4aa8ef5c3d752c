"""The model that learns saliency: a network, its teacher if it has one, and the loss of a batch."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dilo.train.methods.base import StepOutput, TrainableModel
from dilo.train.methods.momentum import ema_update
from dilo.train.recipes.saliency_recipe import LossRecipe, NoiseRecipe, SaliencyRecipe
from dilo.train.saliency.dataset import SaliencyBatch
from dilo.train.saliency.losses import (
    cross_entropy,
    iou_loss,
    soft_iou,
    ssim_loss,
)
from dilo.train.saliency.networks import NETWORKS


class SaliencyModel(TrainableModel):
    """A network that learns masks, those of its teacher among them.

    Parameters
    ----------
    network : Module
        From images (B, 3, H, W) to a tuple of logits (B, 1, H, W), the first its prediction.
    loss : LossRecipe
        Weights of the parts of the loss.
    noise : NoiseRecipe
        How masks that are often wrong are learnt from.
    epochs : int
        Of the whole run.

    Attributes
    ----------
    network : Module
        Trained by gradients.
    teacher : Module or None
        The moving average of its weights, in eval mode.
    """

    def __init__(
        self, network: nn.Module, loss: LossRecipe, noise: NoiseRecipe, epochs: int
    ) -> None:
        super().__init__()
        self.network = network
        self.teacher: nn.Module | None = None
        if noise.teacher:
            self.teacher = copy.deepcopy(network).eval().requires_grad_(False)
        self._loss, self._noise, self._epochs, self._step = loss, noise, epochs, 0

    @property
    def mask_network(self) -> nn.Module:
        """Return the network that makes masks: the teacher if there is one."""
        return self.network if self.teacher is None else self.teacher

    def train(self, mode: bool = True) -> "SaliencyModel":
        """Set the mode of the network; the teacher stays in eval mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(self, batch: SaliencyBatch) -> StepOutput:
        """Compute the loss of a batch."""
        self._step = batch.step
        outputs = self.network(batch.images)
        teacher_mask = self._teacher_mask(batch)  # in the precision of the network's own masks
        with torch.autocast(batch.images.device.type, enabled=False):
            truth, weight = self._target(batch, teacher_mask)
            parts = self._loss_parts(torch.stack(list(outputs)).float(), truth)
            losses = parts.sum(0)
            loss = (losses.sum(0) * weight).mean()
            bce, ssim, iou = parts[:, 0].detach().mean(1)
        scalars = {"l0": losses[0].detach().mean(), "bce": bce, "ssim": ssim, "iou": iou}
        return StepOutput(loss, scalars)

    def _loss_parts(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Compute the weighted parts of the loss (3, K, B) of K outputs (K, B, 1, H, W)."""
        count = len(logits)
        logits, target = logits.flatten(0, 1), truth.repeat(count, 1, 1, 1)
        weight = None
        if self._noise.confidence:
            weight = (2 * target - 1).abs() ** self._noise.confidence
        prediction = logits.sigmoid()
        rule = self._loss
        zero = torch.zeros(len(logits), device=logits.device)
        parts = [
            rule.bce * cross_entropy(logits, target, weight) if rule.bce else zero,
            rule.ssim * ssim_loss(prediction, target, weight) if rule.ssim else zero,
            rule.iou * iou_loss(prediction, target, weight) if rule.iou else zero,
        ]
        return torch.stack(parts).view(3, count, -1)

    @torch.no_grad()
    def _teacher_mask(self, batch: SaliencyBatch) -> Tensor | None:
        """Compute the masks of the teacher (B, 1, H, W), if it is trusted by now."""
        noise = self._noise
        if self.teacher is None or batch.epochs < noise.trust_from:
            return None
        if not (noise.trust or noise.agreement):
            return None
        mask: Tensor = self.teacher(batch.images)[0].float().sigmoid()
        return mask

    @torch.no_grad()
    def _target(self, batch: SaliencyBatch, teacher_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the target (B, 1, H, W), and the weight of each image (B,)."""
        truth, noise = batch.truth, self._noise
        weight = torch.ones(len(truth), device=truth.device)
        if teacher_mask is None:
            return truth, weight
        if noise.agreement:
            weight = soft_iou(teacher_mask, truth) ** noise.agreement
        epochs_since = batch.epochs - noise.trust_from
        teacher_weight = noise.trust * epochs_since / (self._epochs - noise.trust_from)
        return truth.lerp(teacher_mask, teacher_weight), weight

    @torch.no_grad()
    def end_step(self) -> None:
        """Let the teacher follow the network, faster while both are young."""
        if self.teacher is not None:
            keep = min(self._noise.teacher, (1 + self._step) / (10 + self._step))
            ema_update(self.teacher, self.network, keep)
            for slow, fast in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
                if slow.is_floating_point():
                    slow.lerp_(fast, 1 - keep)
                else:
                    slow.copy_(fast)

    def checkpoint(self) -> dict[str, Any]:
        """Return the weights that make masks, under the network's own names, and the student's."""
        state = {"state_dict": self.mask_network.state_dict()}
        if self.teacher is not None:
            state["student"] = self.network.state_dict()
        return state

    def load_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Load the weights of a checkpoint."""
        self.mask_network.load_state_dict(content["state_dict"])
        if self.teacher is not None:
            self.network.load_state_dict(content["student"])


def make_model(recipe: SaliencyRecipe) -> SaliencyModel:
    """Make the model of a recipe, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = NETWORKS[recipe.model.arch](recipe.model.width)
    return SaliencyModel(network, recipe.loss, recipe.noise, recipe.optimizer.epochs)
