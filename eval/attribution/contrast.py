"""Which pixels tell an image from the negatives of contrastive training: ContraCAM."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, relu

from dilo.eval.models.encoder import Encoder
from dilo.train.methods.losses import l2_normalize
from dilo.train.networks.encoder import embed_map, feature_map

#: No map is divided by less.
_LEAST = 1e-30


def contrast_maps(encoder: Encoder, negatives: Sequence[Tensor], images: Tensor) -> Tensor:
    """Map what speaks for an image and against the negatives.

    Parameters
    ----------
    encoder : Encoder
        The frozen backbone and its projection head; or a pair of them.
    negatives : sequence of Tensor of shape (K, D), float32
        Of each backbone: of one, MoCo's queue or the memory bank; of a pair, the bank of the other
        half, with which it was contrasted.
    images : Tensor of shape (B, 3, H, W), float32
        RGB in [0, 1], on the encoder's device.

    Returns
    -------
    Tensor of shape (B, H, W), float32
        From 0 on, give or take what bicubic interpolation overshoots. Each of its image alone. Of
        a pair, the sum of its two, each of which reaches up to 1.

    Raises
    ------
    RecipeError
        If the network has no feature maps, as a vision transformer.

    Notes
    -----
    The score of an image is ``q . k - log(sum_n exp(q . n))``, q its projection of unit length, n
    the negatives, and k what is held fixed: of one backbone, its own projection; of a pair, that
    of the other half. Where k is q, the first term is at its largest and has no gradient: what
    remains leads away from the negatives. The published code takes the other images of a batch for
    negatives; with those of the checkpoint, a map depends on its image and the file alone.

    A channel of the last feature map counts by the mean of the score's gradient in it, if that is
    above 0.

    References
    ----------
    .. [1] S. Mo et al., "Object-aware Contrastive Learning for Debiased Scene Representation",
       NeurIPS 2021, section 2.1, and the code that goes with it, utils/gradcam.py.
    """
    streams = encoder.streams(images)
    with torch.no_grad():
        last_maps = [feature_map(backbone, pixels) for backbone, pixels in streams]
    with torch.enable_grad():
        for last_map in last_maps:
            last_map.requires_grad_()
        queries = [
            l2_normalize(embed_map(backbone, last_map))
            for (backbone, _), last_map in zip(streams, last_maps, strict=True)
        ]
        keys = [query.detach() for query in reversed(queries)]
        scores = [
            contrastive_score(*triple) for triple in zip(queries, keys, negatives, strict=True)
        ]
        gradients = torch.autograd.grad(torch.stack(scores).sum(), last_maps)
    cells = [
        relu((gradient.mean((2, 3), keepdim=True).clamp(min=0) * last_map.detach()).sum(1))
        for gradient, last_map in zip(gradients, last_maps, strict=True)
    ]
    if len(cells) > 1:  # one half's gradient may be many times the other's
        cells = [one / one.amax((1, 2), keepdim=True).clamp(min=_LEAST) for one in cells]
    united = torch.stack(cells).sum(0)
    size = (images.shape[2], images.shape[3])
    return interpolate(united[:, None], size, mode="bicubic", align_corners=False)[:, 0]


def contrastive_score(query: Tensor, key: Tensor, negatives: Tensor) -> Tensor:
    """Score how much nearer an embedding is to its key than to the negatives.

    Parameters
    ----------
    query, key : Tensor of shape (B, D), float32
        Of unit length.
    negatives : Tensor of shape (K, D), float32
        One a row.

    Returns
    -------
    Tensor of shape (B,), float32
        The logarithm of a ratio of exponentials, at temperature 1.
    """
    return (query * key).sum(1) - torch.logsumexp(query @ negatives.T, dim=1)
