"""The networks: torchvision's ResNets, with the stem and projection head that a recipe names."""

from typing import cast

import torchvision
from torch import nn

from dilo.train.recipe import ModelRecipe


def resnet(model: ModelRecipe) -> nn.Module:
    """Build a randomly initialised ResNet whose last layer, `fc`, is the projection head.

    Parameters
    ----------
    model : ModelRecipe
        Architecture, stem, head and width of the embedding.

    Returns
    -------
    Module
        Maps (B, 3, H, W) float32 to (B, dim) float32, not normalised. Its parameters
        bear torchvision's names; the head is `fc`, or `fc.0` and `fc.2`, as in the
        MoCo repository.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020.
    .. [2] X. Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020.
    """
    network = cast(nn.Module, torchvision.models.get_model(model.arch, weights=None))
    if model.stem == "small":
        # The 3 x 3 stem of He et al.'s CIFAR networks: a 64 px image keeps 8 x 8 cells at the end.
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    width = feature_width(network)
    if model.head == "mlp":
        network.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, model.dim))
    else:
        network.fc = nn.Linear(width, model.dim)
    return network


def feature_width(network: nn.Module) -> int:
    """Tell the width of the pooled features, the input of a fresh torchvision `fc`.

    Parameters
    ----------
    network : Module
        A torchvision ResNet with its own, linear, `fc`.

    Returns
    -------
    int
        512 for ResNet-18 and 34, 2048 for the others.
    """
    return cast(nn.Linear, network.fc).in_features
