"""Losses and similarities that methods share, in float32 whatever autocast says."""

import torch
from torch import Tensor
from torch.nn import functional

from dilo.train import ranks
from dilo.train.method import StepOutput


def unit(embedding: Tensor) -> Tensor:
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
        return torch.cat([positive, query @ queue], dim=1) / temperature


def info_nce(logits: Tensor) -> StepOutput:
    """Tell the positive from the negatives.

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
    return StepOutput(functional.cross_entropy(logits, target), contrast_scalars(logits.detach()))


def contrast_scalars(logits: Tensor) -> dict[str, Tensor]:
    """Say how well positives stand out.

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
    """Tell each view's partner from all other views of the batch, those of all ranks.

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
        everyone = ranks.gather_with_gradient(torch.stack([first, second], dim=1))
        similar = views @ everyone.transpose(0, 1).flatten(0, 1).T / temperature
    own = ranks.rank() * len(first) + torch.arange(len(first), device=first.device)
    itself = torch.cat([own, own + len(everyone)])[:, None]
    partner = itself.roll(len(first), 0)
    logits = similar.scatter(1, itself, -torch.inf)
    loss = 2 * functional.cross_entropy(logits, partner[:, 0])
    found = similar.detach()
    positive = found.gather(1, partner)
    rest = found.sum(1, keepdim=True) - positive - found.gather(1, itself)
    scalars = {
        "positive": positive.mean(),
        "negative": rest.mean() / max(2 * len(everyone) - 2, 1),
        "accuracy": (logits.detach().argmax(1, keepdim=True) == partner).float().mean(),
    }
    return StepOutput(loss, scalars)
