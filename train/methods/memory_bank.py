"""The memory bank: a slot an image, of its past embeddings, that later ones are compared with."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from dilo.pipeline.errors import RecipeError
from dilo.train.data.draws import negatives_seed
from dilo.train.methods.base import StepOutput, ViewBatch
from dilo.train.methods.losses import info_nce, nce
from dilo.train.recipes.recipe import MemoryRecipe
from dilo.train.runtime import distributed


def init_bank(images: int, dim: int, generator: torch.Generator) -> Tensor:
    """Fill a bank with random slots, of unit length on average.

    Parameters
    ----------
    images : int
        Number N of slots.
    dim : int
        Width D of an embedding.
    generator : Generator
        On the CPU; which slots.

    Returns
    -------
    Tensor of shape (N, D), float32
        Each value even over (-s, s), s = sqrt(3 / D); rows are not normalised.

    References
    ----------
    .. [1] Z. Wu, Y. Xiong, S. Yu and D. Lin, "Unsupervised Feature Learning via
       Non-Parametric Instance Discrimination", CVPR 2018; the released code.
    """
    limit = 1 / math.sqrt(dim / 3)
    return torch.empty(images, dim).uniform_(-limit, limit, generator=generator)


def require_negatives(memory: MemoryRecipe) -> None:
    """Refuse NCE without negatives.

    Parameters
    ----------
    memory : MemoryRecipe
        Loss and number of negatives.

    Raises
    ------
    RecipeError
        If there are none, and the loss is not the one that then takes all slots.
    """
    if memory.negatives == 0 and memory.loss != "softmax":
        raise RecipeError(
            'memory.negatives must be at least 1 with memory.loss = "nce", got 0: draw some '
            '(--set memory.negatives=4096), or compare with all slots (--set memory.loss="softmax")'
        )


def sample_negatives(batch: ViewBatch, images: int, negatives: int, seed: int) -> Tensor:
    """Draw the slots that each sample is compared with: its own, then any, with replacement.

    The draw is made for the samples of all ranks, and is the same for any number of them; on
    the device, in whose own generator it follows from seed, step and part.

    Parameters
    ----------
    batch : ViewBatch
        Samples of this rank, step and part.
    images : int
        Number N of slots.
    negatives : int
        Number K of slots to draw.
    seed : int
        Of the run.

    Returns
    -------
    Tensor of shape (B, K + 1), int64
        Column 0 is the sample's own. The others may repeat, and hold it again.
    """
    samples = batch.samples
    generator = torch.Generator(samples.device)
    generator.manual_seed(negatives_seed(seed, batch.step, batch.part))
    shape = (distributed.world_size() * len(samples), negatives + 1)
    slots = distributed.local_part(
        torch.randint(images, shape, generator=generator, device=samples.device)
    )
    slots[:, 0] = samples
    return slots


def instance_loss(
    features: Tensor, bank: Tensor, slots: Tensor, memory: MemoryRecipe, constant: Tensor
) -> StepOutput:
    """Compute the recipe's loss of telling each sample's own slot from others.

    Parameters
    ----------
    features : Tensor of shape (B, D), float32
        Of unit length.
    bank : Tensor of shape (N, D), float32
        All slots.
    slots : Tensor of shape (B, K + 1), int64
        As `sample_negatives` gives them; with K = 0, all of the bank takes part.
    memory : MemoryRecipe
        Loss, negatives, temperature.
    constant : Tensor of shape (), float32
        Normalisation Z of NCE: see `nce`.

    Returns
    -------
    StepOutput
        Loss, mean logits, accuracy.
    """
    if memory.negatives == 0:
        return full_softmax(features, bank, slots[:, 0], memory.temperature)
    logits = contrast_slots(features, bank, slots, memory.temperature)
    return nce(logits, constant, len(bank)) if memory.loss == "nce" else info_nce(logits)


def contrast_slots(features: Tensor, bank: Tensor, slots: Tensor, temperature: float) -> Tensor:
    """Compare each feature with its own choice of slots.

    Parameters
    ----------
    features : Tensor of shape (B, D), float32
        Of unit length.
    bank : Tensor of shape (N, D), float32
        All slots; no gradient flows into it.
    slots : Tensor of shape (B, K + 1), int64
        Which to compare with.
    temperature : float
        Divides the similarities.

    Returns
    -------
    Tensor of shape (B, K + 1), float32
        Logits.
    """
    # The chosen slots stay until the backward pass, B (K + 1) D float32: of 256 samples in 128
    # dimensions 0.54 GB for 4096 negatives, 8.6 GB for 65536; nothing else comes near.
    embeddings = bank.index_select(0, slots.flatten()).view(*slots.shape, -1)
    with torch.autocast(features.device.type, enabled=False):
        return torch.bmm(embeddings, (features / temperature)[..., None]).squeeze(2)


def full_softmax(features: Tensor, bank: Tensor, samples: Tensor, temperature: float) -> StepOutput:
    """Compute the loss of telling each sample's own slot from all others.

    Parameters
    ----------
    features : Tensor of shape (B, D), float32
        Of unit length.
    bank : Tensor of shape (N, D), float32
        All slots; no gradient flows into it.
    samples : Tensor of shape (B,), int64
        Which slot is whose.
    temperature : float
        Divides the similarities.

    Returns
    -------
    StepOutput
        Cross-entropy, mean over the batch; mean logits and accuracy.
    """
    with torch.autocast(features.device.type, enabled=False):
        # B N float32, 1.3 GB for 256 samples of ImageNet; twice that during cross-entropy.
        logits = (features / temperature) @ bank.T
        loss = functional.cross_entropy(logits, samples)
    detached = logits.detach()
    positive = detached.gather(1, samples[:, None]).squeeze(1)
    negative = (detached.sum(1) - positive) / (len(bank) - 1)
    return StepOutput(
        loss,
        {
            "positive": positive.mean(),
            "negative": negative.mean(),
            "accuracy": (detached.argmax(1) == samples).float().mean(),
        },
    )


@torch.no_grad()
def update(bank: Tensor, samples: Tensor, features: Tensor, momentum: float) -> None:
    """Move the slots of samples towards their features and to unit length, on all ranks alike.

    Parameters
    ----------
    bank : Tensor of shape (N, D), float32
        The same on all ranks; written in place.
    samples : Tensor of shape (B,), int64
        Of this rank.
    features : Tensor of shape (B, D), float32
        Of unit length.
    momentum : float
        Share that a slot keeps.
    """
    samples, features = distributed.all_gather(samples), distributed.all_gather(features)
    # An image that stands in for an unreadable one may be there twice. Both then write what the
    # first has: a GPU does not promise which is written last, and ranks must not differ.
    first = (samples[:, None] == samples).byte().argmax(1)
    updated = torch.lerp(features[first], bank[samples], momentum)
    bank.index_copy_(0, samples, functional.normalize(updated, dim=1))
