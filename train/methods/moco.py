"""Momentum contrast, versions 1 and 2: they differ in head, temperature and views alone."""

import copy

import torch
from torch import Tensor, nn

from dilo.train.data.draws import key_shuffle
from dilo.train.methods.base import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.methods.losses import (
    info_nce,
    info_nce_with_swaps,
    l2_normalize,
    moco_logits,
)
from dilo.train.methods.momentum import ema_update, enqueue, new_queue
from dilo.train.networks.encoder import build_encoder
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import move


class MoCo(Method):
    """A query encoder, a key encoder that follows it slowly, and a queue of past keys.

    Names of parameters and buffers are the MoCo repository's: ``encoder_q``,
    ``encoder_k``, ``queue``, ``queue_ptr``.

    Parameters
    ----------
    recipe : Recipe
        Networks, queue, momentum, temperature, batch-norm groups and seed.
    data : TrainingSet
        Not needed.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020, algorithm 1.
    """

    queue: Tensor
    queue_ptr: Tensor

    def __init__(self, recipe: Recipe, data: TrainingSet) -> None:
        super().__init__()
        self.seed = recipe.seed
        self.momentum = recipe.moco.momentum
        self.temperature = recipe.moco.temperature
        self.swap_negatives = recipe.moco.swap_negatives
        self.encoder_q = build_encoder(recipe)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.register_buffer("queue", new_queue(recipe.model.dim, recipe.moco.queue, recipe.seed))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))
        self._keys: list[Tensor] = []

    def begin_step(self) -> None:
        """Move the key encoder towards the query encoder as the last step left it."""
        ema_update(self.encoder_k, self.encoder_q, self.momentum)

    def forward(self, batch: ViewBatch) -> StepOutput:
        """Contrast the queries of the first view with the keys of the second.

        Parameters
        ----------
        batch : ViewBatch
            Two views: to encode as queries and as keys; and swaps, if the recipe wants them.

        Returns
        -------
        StepOutput
            Loss, mean logits, accuracy.

        Raises
        ------
        ValueError
            If there are no swaps where the recipe wants them.
        """
        first, second = batch.views
        of_first, of_second = batch.masks or (None, None)
        query = self._encode(self.encoder_q, first, of_first)
        key = self._encode_keys(second, of_second, batch)
        self._keys.append(key)
        logits = moco_logits(query, key, self.queue, self.temperature)
        if not self.swap_negatives:
            return info_nce(logits)
        if batch.swaps is None:
            raise ValueError("swaps must be given with moco.swap_negatives, got none")
        # Never to the queue: to another query, its background is nothing special.
        swapped = self._encode_keys(batch.swaps.views, None, batch)
        swap_logits = (query * swapped).sum(1) / self.temperature
        return info_nce_with_swaps(logits, swap_logits, batch.swaps.present)

    def _encode(self, network: nn.Module, views: Tensor, masks: Tensor | None) -> Tensor:
        """Embed views, as directions; masks are for methods that derive from this one."""
        return l2_normalize(network(views))

    @torch.no_grad()
    def _encode_keys(self, views: Tensor, masks: Tensor | None, batch: ViewBatch) -> Tensor:
        """Encode keys in other batch-norm groups than their queries: "shuffling BN"."""
        everyone = distributed.all_gather(views)
        order = key_shuffle(self.seed, batch.step, len(everyone), batch.part)
        shuffle = move(torch.from_numpy(order), views.device)
        mine = distributed.local_part(shuffle)
        shuffled = None if masks is None else distributed.all_gather(masks)[mine]
        encoded = distributed.all_gather(self._encode(self.encoder_k, everyone[mine], shuffled))
        return distributed.local_part(encoded[torch.argsort(shuffle)])

    def end_step(self) -> None:
        """Write the keys of the step over the oldest of the queue."""
        for keys in self._keys:
            enqueue(self.queue, self.queue_ptr, distributed.all_gather(keys))
        self._keys.clear()
