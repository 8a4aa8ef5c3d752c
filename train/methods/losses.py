"""Losses and similarities that methods share, in float32 whatever autocast says."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from dilo.train.methods.base import StepOutput
from dilo.train.runtime import distributed


def l2_normalize(embedding: Tensor) -> Tensor:
    """Scale to unit length.

    Parameters
    ----------
    embedding : Tensor of shape (B, D)
        Of any precision.

    Returns
    -------
    Tensor of shape (B, D), float32
        Its directions.
    """
    return functional.normalize(embedding.float(), dim=1)


def moco_logits(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
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
        return torch.cat([positive, query @ queue], dim=1) / temperature


def info_nce(logits: Tensor) -> StepOutput:
    """Compute the loss of telling the positive from the negatives.

    Parameters
    ----------
    logits : Tensor of shape (B, K + 1), float32
        Similarities over temperature; column 0 is the positive.

    Returns
    -------
    StepOutput
        Cross-entropy, mean over the batch; mean logits and accuracy.

    References
    ----------
    .. [1] A. van den Oord, Y. Li and O. Vinyals, "Representation Learning with Contrastive
       Predictive Coding", 2018, equation 4.
    """
    target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    return StepOutput(
        functional.cross_entropy(logits, target), contrastive_metrics(logits.detach())
    )


def info_nce_with_swaps(logits: Tensor, swap_logits: Tensor, present: Tensor) -> StepOutput:
    """Compute the same loss with one more negative for the queries that have one.

    Parameters
    ----------
    logits : Tensor of shape (B, K + 1), float32
        As for `info_nce`.
    swap_logits : Tensor of shape (B,), float32
        Similarities over temperature of queries and matched negatives.
    present : Tensor of shape (B,), bool
        Which queries have one; the loss of another is as without.

    Returns
    -------
    StepOutput
        Cross-entropy, mean over the batch; the scalars of `info_nce`, which say nothing of the
        swaps, and of those: `swap`, their mean logit, `swap_accuracy`, the share whose positive
        is closer, and `swap_rate`, the share of queries that have one.

    References
    ----------
    .. [1] C. K. Ryali, D. J. Schwab and A. S. Morcos, "Characterizing and Improving the
       Robustness of Self-Supervised Learning through Background Augmentations", 2021.
    """
    masked = swap_logits.masked_fill(~present, -torch.inf)
    target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    loss = functional.cross_entropy(torch.cat([logits, masked[:, None]], dim=1), target)
    detached, count = logits.detach(), present.sum().clamp(min=1)
    scalars = contrastive_metrics(detached) | {
        "swap": swap_logits.detach().where(present, 0).sum() / count,
        "swap_accuracy": (present & (detached[:, 0] > masked.detach())).sum() / count,
        "swap_rate": present.float().mean(),
    }
    return StepOutput(loss, scalars)


def contrastive_metrics(logits: Tensor) -> dict[str, Tensor]:
    """Measure how well positives stand out.

    Parameters
    ----------
    logits : Tensor of shape (B, K + 1), float32
        Detached; column 0 is the positive.

    Returns
    -------
    dict of str to Tensor
        `positive` and `negative`, mean logits; `accuracy`, the share of samples whose positive
        is the closest.
    """
    return {
        "positive": logits[:, 0].mean(),
        "negative": logits[:, 1:].mean(),
        "accuracy": (logits.argmax(1) == 0).float().mean(),
    }


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> StepOutput:
    """Compute the loss of telling each view's partner from all other views, those of all ranks.

    Parameters
    ----------
    first, second : Tensor of shape (B, D), float32
        This rank's samples, of unit length: row i of both is the same image.
    temperature : float
        Divides the similarities.

    Returns
    -------
    StepOutput
        The mean cross-entropy of the first views plus that of the second, as the SimCLR
        repository adds them: twice the mean over views. Mean logits and accuracy over both.

    References
    ----------
    .. [1] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual
       Representations", ICML 2020, equation 1.
    """
    with torch.autocast(first.device.type, enabled=False):
        views = torch.cat([first, second])
        everyone = distributed.all_gather_with_grad(torch.stack([first, second], dim=1))
        similar = views @ everyone.transpose(0, 1).flatten(0, 1).T / temperature
    numbers = distributed.rank() * len(first) + torch.arange(len(first), device=first.device)
    itself = torch.cat([numbers, numbers + len(everyone)])[:, None]
    partner = itself.roll(len(first), 0)
    logits = similar.scatter(1, itself, -torch.inf)
    loss = 2 * functional.cross_entropy(logits, partner[:, 0])
    detached = similar.detach()
    positive = detached.gather(1, partner)
    rest = detached.sum(1, keepdim=True) - positive - detached.gather(1, itself)
    scalars = {
        "positive": positive.mean(),
        "negative": rest.mean() / max(2 * len(everyone) - 2, 1),
        "accuracy": (logits.detach().argmax(1, keepdim=True) == partner).float().mean(),
    }
    return StepOutput(loss, scalars)


#: Keeps the denominators of the InstDisc repository from 0; its losses carry it.
EPSILON = 1e-7


def nce(logits: Tensor, constant: Tensor, images: int) -> StepOutput:
    """Compute the loss of telling a sample's own slot from noise, slot by slot.

    Parameters
    ----------
    logits : Tensor of shape (B, K + 1), float32
        Similarities over temperature; column 0 is the positive, the others were drawn evenly
        from all images.
    constant : Tensor of shape (), float32
        The normalisation Z. Where it is negative, it is set, in place: to what the logits of
        all ranks make of it. It never changes again.
    images : int
        How many there are, N.

    Returns
    -------
    StepOutput
        Loss, summed over the K negatives, mean over the batch; mean logits and accuracy.

    Notes
    -----
    With :math:`P = e^{logit} / Z`, the positive costs
    :math:`-\\log(P / (P + K/N + \\epsilon))` and a negative
    :math:`-\\log((K/N) / (P + K/N + \\epsilon))`. As the sigmoid of
    :math:`logit - \\log Z - \\log(K/N + \\epsilon)`, neither overflows.

    References
    ----------
    .. [1] Z. Wu, Y. Xiong, S. Yu and D. Lin, "Unsupervised Feature Learning via
       Non-Parametric Instance Discrimination", CVPR 2018, section 3.2.
    """
    negatives = logits.shape[1] - 1
    noise = negatives / images
    with torch.autocast(logits.device.type, enabled=False):
        log_z = _constant(constant, logits.detach(), images).log()
        odds = logits - (log_z + math.log(noise + EPSILON))
        positive = functional.softplus(-odds[:, 0])
        negative = functional.softplus(odds[:, 1:]).sum(1)
        # No gradient flows from here, but the published losses hold it: 0.13 on ImageNet.
        loss = (positive + negative).mean() + negatives * math.log1p(EPSILON / noise)
    return StepOutput(loss, contrastive_metrics(logits.detach()))


@torch.no_grad()
def _constant(constant: Tensor, logits: Tensor, images: int) -> Tensor:
    """Return Z: N times the mean of exp(logits) over all ranks, unless it was set before."""
    # Estimated each step, which is cheap beside the logits, so that no step waits to hear
    # from the device whether it is needed.
    mean = torch.logsumexp(logits.flatten(), 0) - math.log(logits.numel())
    everyone = distributed.all_gather(mean[None])
    estimate = torch.logsumexp(everyone, 0) + math.log(images / len(everyone))
    return constant.copy_(torch.where(constant > 0, constant, estimate.exp()))
