"""LOST: the box of one object of an image, from the features of a network alone."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import label
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad

from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import CheckpointError, RecipeError

#: Cells of the fewest similar ones among which the seed's kind is looked for.
CANDIDATES = 100
#: Pixels of a cell: the last stage of a ResNet is dilated so.
STRIDE = 16
#: Pixels of the longer side, at most: each cell is compared with each other one.
LONGEST = 1024
#: ImageNet's mean colour, with which an image is filled up to whole cells: 0 to the network.
MEAN = (0.485, 0.456, 0.406)


def feature_box(encoder: Encoder, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Find one object of an image.

    Parameters
    ----------
    encoder : Encoder
        A network that `dilate` was called on.
    image : ndarray of shape (H, W, 3), uint8
        As it is; one that is longer than 1024 px is shrunk to that.

    Returns
    -------
    ndarray of shape (4,), float64
        x0, y0, x1, y1 in pixels, the upper left corner being 0, 0.

    Raises
    ------
    CheckpointError
        If the network has no feature maps, as a vision transformer.
    """
    height, width = image.shape[:2]
    device = next(encoder.network.parameters()).device
    shrink = min(1.0, LONGEST / max(height, width))
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor(MEAN, device=device)[:, None, None]
    filled = pad(pixels - mean, (0, -width % STRIDE, 0, -height % STRIDE)) + mean
    try:
        with torch.no_grad():
            cells = torch.cat(encoder.feature_maps(filled), 1)[0]
    except RecipeError as error:
        raise CheckpointError(
            f"{encoder.source} must have feature maps to find objects by, got none from "
            f"{encoder.model.arch}: take a ResNet"
        ) from error
    mask = seed_component(cells)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down = filled.shape[2] / mask.shape[0] * height / image.shape[0]
    across = filled.shape[3] / mask.shape[1] * width / image.shape[1]
    return np.array(
        [
            columns[0] * across,
            rows[0] * down,
            min((columns[-1] + 1) * across, width),
            min((rows[-1] + 1) * down, height),
        ]
    )


def seed_component(cells: Tensor) -> NDArray[np.bool_]:
    """Mark the cells of one object.

    Parameters
    ----------
    cells : Tensor of shape (D, h, w), float32
        A feature map.

    Returns
    -------
    ndarray of shape (h, w), bool
        Cells that hang together, by their sides, with the seed: the cell that is similar to the
        fewest others, similar being a positive product of standardised features. They are similar
        to the sum of those among the 100 cells of fewest similar ones that are similar to the seed.

    References
    ----------
    .. [1] O. Simeoni et al., "Localizing Objects with Self-Supervised Transformers and no Labels",
       BMVC 2021, section 3; the standardisation of a ResNet's map is that of the released code.
    """
    height, width = cells.shape[1:]
    features = cells.flatten(1).T
    features = layer_norm(features, features.shape)
    products = features @ features.T
    similar = products > 0
    others = (similar.sum(1) - similar.diagonal().long()).cpu().numpy()
    order = np.argsort(others, kind="stable")
    candidates = torch.from_numpy(order[:CANDIDATES].copy()).to(products.device)
    seed = int(order[0])
    kind = candidates[similar[seed, candidates]]
    positive = (products[kind].sum(0) > 0).cpu().numpy().reshape(height, width)
    positive.flat[seed] = True  # of a map that is all alike, no product is positive
    parts, _ = label(positive)
    marked: NDArray[np.bool_] = parts == parts.flat[seed]
    return marked


def dilate(network: nn.Module) -> None:
    """Let the last stage of each ResNet in a network keep the grid of the one before, in place.

    Its stride goes, and its later 3 x 3 convolutions reach twice as far, so that the weights see
    what they saw. Networks without such a stage stay as they are.
    """
    for module in list(network.modules()):
        stage = getattr(module, "layer4", None)
        if not isinstance(stage, nn.Module):
            continue
        strided = False
        for part in stage.modules():
            if not isinstance(part, nn.Conv2d):
                continue
            if part.kernel_size == (3, 3) and strided:
                part.dilation, part.padding = (2, 2), (2, 2)
            strided |= part.kernel_size == (3, 3) and part.stride == (2, 2)
            part.stride = (1, 1)
