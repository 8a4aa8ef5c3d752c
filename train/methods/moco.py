"""Momentum contrast, versions 1 and 2: they differ in head, temperature and views alone."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from dilo.train.backbones import resnet
from dilo.train.batchnorm import group_batch_norm
from dilo.train.memory import enqueue, new_queue
from dilo.train.methods.base import Method, StepOutput
from dilo.train.recipe import Recipe


class MoCo(Method):
    """A query encoder, a key encoder that follows it slowly, and a queue of past keys.

    Names of parameters and buffers are the MoCo repository's: ``encoder_q``,
    ``encoder_k``, ``queue``, ``queue_ptr``.

    Parameters
    ----------
    recipe : Recipe
        Networks, queue, momentum, temperature, batch-norm groups and seed.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020, algorithm 1.
    """

    queue: Tensor
    queue_ptr: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.momentum = recipe.moco.momentum
        self.temperature = recipe.moco.temperature
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.encoder_q = group_batch_norm(resnet(recipe.model), recipe.moco.bn_groups)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.register_buffer("queue", new_queue(recipe.model.dim, recipe.moco.queue, recipe.seed))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))

    def forward(self, first: Tensor, second: Tensor, shuffle: Tensor) -> StepOutput:
        """Contrast the queries of the first view with the keys of the second.

        Parameters
        ----------
        first, second : Tensor of shape (B, 3, H, W), float32
            Views to encode as queries and as keys.
        shuffle : Tensor of shape (B,), int64
            Order in which the keys are encoded, so that a key shares its batch-norm
            group with other samples than its query does.

        Returns
        -------
        StepOutput
            Loss, and `accuracy`: the share of queries closest to their own key.
        """
        query = _unit(self.encoder_q(first))
        with torch.no_grad():
            follow(self.encoder_k, self.encoder_q, self.momentum)
            key = _unit(self.encoder_k(second[shuffle]))[torch.argsort(shuffle)]
        logits = contrast(query, key, self.queue, self.temperature)
        target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        accuracy = (logits.detach().argmax(1) == 0).float().mean()
        enqueue(self.queue, self.queue_ptr, key)
        return StepOutput(functional.cross_entropy(logits, target), {"accuracy": accuracy})


def _unit(embedding: Tensor) -> Tensor:
    """Scale to unit length, in float32 whatever autocast says."""
    return functional.normalize(embedding.float(), dim=1)


@torch.no_grad()
def follow(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Move the key encoder's parameters towards the query encoder's, in place.

    Parameters
    ----------
    key, query : Module
        Encoders of the same architecture. Buffers are left alone: the key encoder's
        running statistics are of its own batches.
    momentum : float
        Share that the key encoder keeps.
    """
    for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
        slow.lerp_(fast, 1.0 - momentum)


def contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Compare queries with their key and with the queue.

    Parameters
    ----------
    query, key : Tensor of shape (B, D), float32
        Of unit length.
    queue : Tensor of shape (D, K), float32
        Negatives, of unit length.
    temperature : float
        Divides the similarities.

    Returns
    -------
    Tensor of shape (B, K + 1), float32
        Logits; column 0 is the positive.
    """
    with torch.autocast(query.device.type, enabled=False):
        positive = (query * key).sum(dim=1, keepdim=True)
        # A copy: enqueue writes into the queue before the gradient needs these negatives.
        negatives = query @ queue.clone()
        return torch.cat([positive, negatives], dim=1) / temperature
