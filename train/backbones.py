"""The networks: torchvision's ResNets, with the stem, width and projection head of a recipe."""

from typing import cast

import torch
import torchvision
from torch import nn

from dilo.train.batchnorm import group_batch_norm
from dilo.train.recipe import ModelRecipe, Recipe


def encoder(recipe: Recipe, *, channels: int = 3, outputs: int | None = None) -> nn.Module:
    """Build the network of a recipe, to be trained: by its seed, in its batch-norm groups.

    Parameters
    ----------
    recipe : Recipe
        Model, batch and seed.
    channels : int, default 3
        Channels of its input.
    outputs : int, optional
        Width of its output; `model.dim` unless given.

    Returns
    -------
    Module
        A trunk that ends in `fc`. torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = resnet(recipe.model, channels=channels, outputs=outputs)
    groups = recipe.model.bn_groups
    return group_batch_norm(network, recipe.optimizer.batch // groups if groups > 1 else None)


def resnet(model: ModelRecipe, *, channels: int = 3, outputs: int | None = None) -> nn.Module:
    """Build a randomly initialised ResNet whose last layer, `fc`, is the projection head.

    Parameters
    ----------
    model : ModelRecipe
        Architecture, stem, width, head and width of the embedding.
    channels : int, default 3
        Channels of its input.
    outputs : int, optional
        Width of its output; `model.dim` unless given.

    Returns
    -------
    Module
        Maps (B, channels, H, W) float32 to (B, outputs) float32, not normalised. Its
        parameters bear torchvision's names; the head is `fc`, or `fc.0` and `fc.2`, as in
        the MoCo repository.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020.
    .. [2] X. Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020.
    """
    network = cast(nn.Module, torchvision.models.get_model(model.arch, weights=None))
    if model.stem == "small":
        # The 3 x 3 stem of He et al.'s CIFAR networks: a 64 px image keeps 8 x 8 cells at the end.
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    width = feature_width(network)
    outputs = outputs or model.dim
    if model.head == "mlp":
        network.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))
    else:
        network.fc = nn.Linear(width, outputs)
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
