"""Noise-contrastive estimation: a positive told from negatives, one yes or no at a time."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from dilo.train import ranks
from dilo.train.losses import contrast_scalars
from dilo.train.method import StepOutput

#: Keeps the denominators of the InstDisc repository from 0; its losses carry it.
EPSILON = 1e-7


def nce(logits: Tensor, constant: Tensor, images: int) -> StepOutput:
    """Ask of each slot whether it is the sample's own or noise.

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
        log_z = _settled(constant, logits.detach(), images).log()
        odds = logits - (log_z + math.log(noise + EPSILON))
        positive = functional.softplus(-odds[:, 0])
        negative = functional.softplus(odds[:, 1:]).sum(1)
        # No gradient flows from here, but the published losses hold it: 0.13 on ImageNet.
        loss = (positive + negative).mean() + negatives * math.log1p(EPSILON / noise)
    return StepOutput(loss, contrast_scalars(logits.detach()))


@torch.no_grad()
def _settled(constant: Tensor, logits: Tensor, images: int) -> Tensor:
    """Give Z: N times the mean of exp(logits) over all ranks, unless it was set before."""
    # Estimated each step, which is cheap beside the logits, so that no step waits to hear
    # from the device whether it is needed.
    mean = torch.logsumexp(logits.flatten(), 0) - math.log(logits.numel())
    everyone = ranks.gather(mean[None])
    estimate = torch.logsumexp(everyone, 0) + math.log(images / len(everyone))
    return constant.copy_(torch.where(constant > 0, constant, estimate.exp()))
