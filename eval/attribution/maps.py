"""Which pixels a class score hangs on: its gradient, and class activation maps."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, linear

from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, RecipeError
from dilo.train.augment.color import to_color_space

#: How a map is made.
Attribution = Literal["gradient", "cam"]


#: Whose score is mapped: that of the image's own class, or of the one with the highest score.
ClassRule = Literal["true", "predicted"]


def attribution_maps(
    classifier: Classifier, images: Tensor, method: Attribution, classes: Tensor
) -> Tensor:
    """Map how much each pixel matters to the score of a class.

    Parameters
    ----------
    classifier : Classifier
        The frozen backbone, its batch norm in eval mode, and the linear layer on it.
    images : Tensor of shape (B, 3, H, W), float32
        RGB in [0, 1], on the classifier's device.
    method : {"gradient", "cam"}
        The gradient of the score before the softmax, taken where the network sees the image,
        standardised and in its own colours: the largest magnitude over the channels. Or the
        class activation map, stretched to the image bilinearly; of a pair, the sum of its two.
    classes : Tensor of shape (B,), int64
        The class of each image, a row of the classifier's weight.

    Returns
    -------
    Tensor of shape (B, H, W), float32
        The maps as they are: gradients from 0, activations of either sign. Not finite where
        the network's numbers are not.

    Raises
    ------
    CheckpointError
        If the network has no feature maps to make activation maps of.

    References
    ----------
    .. [1] K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks:
       Visualising Image Classification Models and Saliency Maps", 2013, section 3.1.
    .. [2] B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
       equation 2.
    """
    if method == "gradient":
        return _gradients(classifier, images, classes)
    cells = class_activations(classifier, images, classes).sum(1, keepdim=True)
    size = (images.shape[2], images.shape[3])
    return interpolate(cells, size, mode="bilinear", align_corners=False)[:, 0]


def class_activations(classifier: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Weigh the last feature maps by what they add to the score of a class.

    Parameters
    ----------
    classifier : Classifier
        The frozen backbone and the linear layer on it.
    images : Tensor of shape (B, 3, H, W), float32
        RGB in [0, 1], on the classifier's device.
    classes : Tensor of shape (B,), int64
        The class of each image, a row of the classifier's weight.

    Returns
    -------
    Tensor of shape (B, P, h, w), float32
        The map of each of the P backbones, in the backbone's own cells: two of a pair, luminance
        first, else one. Where the backbone pools by the mean, as ResNets do, the mean over the
        cells, summed over the backbones, is the score less its bias.

    Raises
    ------
    CheckpointError
        If the network has no feature maps, as a vision transformer.
    """
    encoder = classifier.encoder
    try:
        with torch.no_grad():
            maps = encoder.feature_maps(images)
    except RecipeError as error:
        raise CheckpointError(
            f"{encoder.source} must have feature maps for class activation maps, got none from "
            f"{encoder.model.arch}: take the gradient instead"
        ) from error
    weights = torch.split(classifier.weight[classes], [stream.shape[1] for stream in maps], 1)
    pairs = zip(maps, weights, strict=True)
    return torch.stack([torch.einsum("bdhw,bd->bhw", *pair) for pair in pairs], 1)


def predicted(classifier: Classifier, images: Tensor) -> Tensor:
    """Tell the class with the highest score.

    Parameters
    ----------
    classifier : Classifier
        The frozen backbone and the linear layer on it.
    images : Tensor of shape (B, 3, H, W), float32
        RGB in [0, 1], on the classifier's device.

    Returns
    -------
    Tensor of shape (B,), int64
        A row of the classifier's weight for each image.
    """
    with torch.no_grad():
        return classifier.scores(images).argmax(1)


def _gradients(classifier: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Send the sum of the scores back once: no image's score hangs on another image."""
    encoder = classifier.encoder
    pixels = to_color_space(images.detach(), encoder.space).detach().requires_grad_()
    with torch.enable_grad():
        scores = linear(encoder.network(pixels), classifier.weight, classifier.bias)
        own = scores.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(own, pixels)
    return gradient.abs().amax(1)
