"""The networks: trunks of torchvision and timm, each ending in the head `fc` of a recipe."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from dilo.pipeline.errors import RecipeError
from dilo.train.networks.batchnorm import group_batch_norm
from dilo.train.networks.heads import Classifier, projection
from dilo.train.networks.pooling import masked_average
from dilo.train.networks.timm_encoder import TIMM, TimmEncoder, require_fit, timm_encoder
from dilo.train.recipes.recipe import ModelRecipe, Recipe

_RESNETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}
_TRUNK = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
#: Side of the kernels that dilation spreads.
_KERNEL = (3, 3)


class _ResNet(ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's, its layers wider or narrower by a factor; the stem keeps 64 channels.

    It may be given masks, (B, 1, H, W), and then pools its last feature map under them.
    """

    def __init__(self, block: Any, blocks: tuple[int, ...], width: float) -> None:
        self._width = width  # before all else, for it is the constructor that makes the layers
        super().__init__(block, list(blocks))

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **options: Any) -> nn.Module:
        scaled = int(planes * self._width)
        return cast(nn.Module, super()._make_layer(block, scaled, *arguments, **options))

    def forward(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        if masks is None:
            return cast(Tensor, super().forward(images))
        return cast(Tensor, self.fc(masked_average(feature_map(self, images), masks)))


def build_encoder(recipe: Recipe, *, channels: int = 3, classes: int | None = None) -> nn.Module:
    """Build the network of a recipe, to be trained: by its seed, in its batch-norm groups.

    Parameters
    ----------
    recipe : Recipe
        Model, batch, size of the views and seed.
    channels : int, default 3
        Channels of its input.
    classes : int, optional
        As `build_network` takes it.

    Returns
    -------
    Module
        A trunk that ends in `fc`. torch's own generator is left as it was.

    Raises
    ------
    RecipeError
        If there is no such network, or it cannot do what the recipe asks.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.model, channels=channels, classes=classes)
    if isinstance(network, TimmEncoder):
        require_fit(network, recipe)
    groups = recipe.model.bn_groups
    return group_batch_norm(network, recipe.optimizer.batch // groups if groups > 1 else None)


def build_network(
    model: ModelRecipe, *, channels: int = 3, classes: int | None = None
) -> nn.Module:
    """Build the network that a recipe names, randomly initialised, with ordinary batch norm.

    Parameters
    ----------
    model : ModelRecipe
        Architecture, stem, width, head and width of the embedding.
    channels : int, default 3
        Channels of its input.
    classes : int, optional
        Where it is to tell classes: how many. Its head is then a `Classifier`.

    Returns
    -------
    Module
        Maps (B, channels, H, W) float32 to (B, model.dim or classes) float32, not normalised.

    Raises
    ------
    RecipeError
        If timm is not installed or has no such network, or stem or width do not go with it.
    """
    make = timm_encoder if model.arch.startswith(TIMM) else resnet
    network = make(model, channels)
    if classes is not None:
        width = network.width if isinstance(network, TimmEncoder) else cast(Any, network).inplanes
        network.fc = Classifier(width, classes)
    return network


def resnet(model: ModelRecipe, channels: int = 3) -> nn.Module:
    """Build a randomly initialised ResNet whose last layer, `fc`, is the projection head.

    Parameters
    ----------
    model : ModelRecipe
        Architecture, stem, width, head and width of the embedding.
    channels : int, default 3
        Channels of its input.

    Returns
    -------
    Module
        Maps (B, channels, H, W) float32 to (B, model.dim) float32, not normalised. Its
        parameters bear torchvision's names; the head is `fc`, or `fc.0` and `fc.2`, as in
        the MoCo repository.

    Raises
    ------
    RecipeError
        If the width leaves no channel.

    References
    ----------
    .. [1] K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    .. [2] Y. Tian, D. Krishnan and P. Isola, "Contrastive Multiview Coding", ECCV 2020, and
       its repository, for the width.
    """
    if model.width < 1 / 64:
        raise RecipeError(f"model.width must be at least 1/64, got {model.width}")
    network: Any = _ResNet(*_RESNETS[model.arch], model.width)
    if model.stem == "small":
        # The 3 x 3 stem of He et al.'s CIFAR networks: a 64 px image keeps 8 x 8 cells at the end.
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.fc = projection(model, network.inplanes)
    return cast(nn.Module, network)


def feature_map(network: nn.Module, images: Tensor, layer: str = "layer4") -> Tensor:
    """Return the last feature map of an encoder, before it is pooled, or one before.

    Parameters
    ----------
    network : Module
        As `build_encoder` or `build_network` made it; `fc` may be anything.
    images : Tensor of shape (B, C, H, W), float32
        What it takes.
    layer : {"layer4", "layer3"}, default "layer4"
        The last layer of a ResNet, or the one before; of a network of timm's, the last map.

    Returns
    -------
    Tensor of shape (B, D, h, w)
        Its map.

    Raises
    ------
    RecipeError
        If the network has none, as a vision transformer.
    """
    if isinstance(network, TimmEncoder):
        return network.features(images)
    hidden = images
    for name in _TRUNK[: _TRUNK.index(layer) + 1]:
        hidden = cast(nn.Module, getattr(network, name))(hidden)
    return hidden


def dilate_last_layer(network: nn.Module) -> None:
    """Give the last layer of a ResNet the resolution of the one before, in place.

    Parameters
    ----------
    network : Module
        As `resnet` made it. Its strides of `layer4` become 1, and the kernels behind them are
        spread by 2, as torchvision's ``replace_stride_with_dilation=[False, False, True]`` does
        for networks of bottlenecks.

    Notes
    -----
    Every second cell of every second row is, but for the image's edges, the cell that it was.
    """
    reduces = False
    for module in cast(nn.Module, network.layer4).modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.kernel_size == _KERNEL and reduces:
            module.dilation = module.padding = (2, 2)
        if module.stride == (2, 2):
            module.stride = (1, 1)
            reduces = True


def embed_map(network: nn.Module, last_map: Tensor) -> Tensor:
    """Finish what `feature_map` began: pool a last feature map, and put it through the head.

    Parameters
    ----------
    network : Module
        As `build_encoder` or `build_network` made it.
    last_map : Tensor of shape (B, D, h, w)
        As `feature_map` gives it, of this network.

    Returns
    -------
    Tensor of shape (B, outputs)
        What the network gives for the images.
    """
    if isinstance(network, TimmEncoder):
        return network.embed(last_map)
    average, head = cast(nn.Module, network.avgpool), cast(nn.Module, network.fc)
    return cast(Tensor, head(torch.flatten(average(last_map), 1)))


def pooled_features(network: nn.Module, images: Tensor) -> Tensor:
    """Return the features of an encoder before its head.

    Parameters
    ----------
    network : Module
        As `build_encoder` or `build_network` made it; `fc` may be anything.
    images : Tensor of shape (B, C, H, W), float32
        What it takes.

    Returns
    -------
    Tensor of shape (B, D)
        Pooled, not normalised.
    """
    if isinstance(network, TimmEncoder):
        return cast(Tensor, network.trunk(images))
    average = cast(nn.Module, network.avgpool)
    return torch.flatten(average(feature_map(network, images)), 1)
