"""Networks whose cells have features: vision transformers by their tokens, others by their maps."""

import math
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torchvision.models.resnet import ResNet

from dilo.eval.models.encoder import Encoder, encoder_of
from dilo.eval.tokencut.maskmethods import MAP_FEATURES, TOKEN_FEATURES
from dilo.pipeline.errors import CheckpointError
from dilo.train.augment.color import to_color_space
from dilo.train.networks.encoder import dilate_last_layer, feature_map
from dilo.train.networks.timm_encoder import TIMM, TimmEncoder
from dilo.train.weights.formats import read_weights
from dilo.train.weights.layouts import declared_arch, find_backbones
from dilo.train.weights.transformers import find_transformer, load_transformer

#: Side of images, in pixels, where a file says nothing of it.
_SIDE = 224


@dataclass(frozen=True, eq=False)
class Backbone(ABC):
    """A frozen network that gives features of the cells of an image."""

    #: The file that it is of.
    source: Path
    #: The network, in eval mode.
    network: nn.Module
    #: Side of images, in pixels, that suits it.
    side: int
    #: Sides must be a multiple of it.
    multiple: int = 1
    #: Whether it is of DINO's own file, for which TokenCut was published.
    is_dino: bool = False
    #: Features that it has, that which suits it first.
    features: ClassVar[tuple[str, ...]]

    @abstractmethod
    def cells(self, images: Tensor, features: str) -> Tensor:
        """Compute the features of the cells.

        Parameters
        ----------
        images : Tensor of shape (B, 3, side, side), float32
            RGB in [0, 1], on the network's device.
        features : str
            One of `features`.

        Returns
        -------
        Tensor of shape (B, h, w, D)
            Of each cell.
        """

    def resize(self, side: int) -> None:
        """Prepare for images of a side, in place.

        Parameters
        ----------
        side : int
            In pixels.

        Raises
        ------
        CheckpointError
            If it takes none of this side.
        """
        if side % self.multiple:
            below = side // self.multiple * self.multiple
            sides = [str(s) for s in (below, below + self.multiple) if s]
            raise CheckpointError(
                f"side must be a multiple of the patches of {self.multiple} px of {self.source}, "
                f"got {side}: give --set side={' or '.join(sides)}"
            )
        trunk: Any = getattr(self.network, "trunk", self.network)
        if hasattr(trunk, "set_input_size"):  # of timm; others see it in the image
            trunk.set_input_size(img_size=(side, side))


@dataclass(frozen=True, eq=False)
class Transformer(Backbone):
    """A vision transformer: DINO's or DINOv2's as our own class, or any of timm's."""

    #: What its last attention made of the tokens, of each thread that computes.
    _seen: threading.local = field(default_factory=threading.local)
    features: ClassVar[tuple[str, ...]] = TOKEN_FEATURES

    def __post_init__(self) -> None:
        """Listen to the last attention."""
        linear = getattr(getattr(self._network.blocks[-1], "attn", None), "qkv", None)
        if isinstance(linear, nn.Module):
            linear.register_forward_hook(self._listen)

    @property
    def _network(self) -> Any:
        """Return the network, of whose attributes no type tells."""
        return self.network

    def _listen(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._seen.qkv = output

    def cells(self, images: Tensor, features: str) -> Tensor:
        """Compute tokens, or what the last attention makes of them: all heads side by side."""
        self._seen.qkv = None
        tokens: Tensor = self._network.forward_features(to_color_space(images, "rgb"))
        if features != "token":
            if self._seen.qkv is None:
                raise CheckpointError(
                    f"features={features} needs an attention that computes queries, keys and "
                    f"values together, got another of {self.source}: give --set features=token"
                )
            part = ("query", "key", "value").index(features)
            tokens = self._seen.qkv.chunk(3, -1)[part]
        patches = tokens[:, self._network.num_prefix_tokens :]
        grid = math.isqrt(patches.shape[1])
        return patches.reshape(len(patches), grid, grid, -1)


@dataclass(frozen=True, eq=False)
class Convolutional(Backbone):
    """A network with feature maps: a ResNet, dilated; the two of a pair; or one of timm's."""

    #: What the network is of; it knows which colours its backbones see.
    encoder: Encoder = field(kw_only=True)
    features: ClassVar[tuple[str, ...]] = MAP_FEATURES

    def cells(self, images: Tensor, features: str) -> Tensor:
        """Compute the last feature maps, or those before; those of a pair side by side."""
        streams = self.encoder.streams(images)
        maps = [_map(backbone, channels, features) for backbone, channels in streams]
        return torch.cat(maps, 1).permute(0, 2, 3, 1)


def open_backbone(weights: Path, arch: str = "") -> Backbone:
    """Read a network of any kind whose cells have features.

    Parameters
    ----------
    weights : Path
        DINO's or DINOv2's file, or what `dilo.eval.models.encoder.load_encoder` reads.
    arch : str, optional
        The network where the file does not say it.

    Returns
    -------
    Backbone
        On the CPU.

    Raises
    ------
    CheckpointError
        If it is none that is known, or the weights are not exactly its own.
    """
    content = read_weights(weights)
    if not (arch or declared_arch(content) or "").startswith(TIMM):
        transformer = find_transformer(content, weights)
        if transformer is not None:
            network = load_transformer(transformer, weights)
            patch = transformer.shape.patch
            return Transformer(weights, network, _nearest(patch), patch, transformer.is_dino)
    try:
        backbones = find_backbones(content, weights, arch or None)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; nor has it the layers of a vision transformer of DINO's or DINOv2's"
        ) from error
    encoder = encoder_of(content, backbones, weights, arch or None)
    if isinstance(encoder.network, TimmEncoder):
        return _of_timm(encoder, encoder.network.trunk)
    for module in encoder.network.modules():
        if isinstance(module, ResNet):
            dilate_last_layer(module)
    return Convolutional(weights, encoder.network, encoder.size, encoder=encoder)


def _of_timm(encoder: Encoder, trunk: nn.Module) -> Backbone:
    """Tell a vision transformer of timm's from its other networks."""
    patches = getattr(trunk, "patch_embed", None)
    if hasattr(trunk, "num_prefix_tokens") and hasattr(trunk, "blocks") and patches is not None:
        patch = patches.patch_size
        side = int(patch[0] if isinstance(patch, tuple) else patch)
        return Transformer(encoder.source, trunk, _nearest(side), side)
    # They reduce by 32 where a dilated ResNet does by 16.
    return Convolutional(encoder.source, encoder.network, 2 * encoder.size, encoder=encoder)


def _nearest(patch: int) -> int:
    """Find the side nearest to `_SIDE` that patches divide."""
    return max(1, round(_SIDE / patch)) * patch


def _map(backbone: nn.Module, channels: Tensor, layer: str) -> Tensor:
    """Compute the last feature map, or the one before."""
    if not isinstance(backbone, TimmEncoder):
        return feature_map(backbone, channels, layer)
    trunk: Any = backbone.trunk
    count = len(MAP_FEATURES)
    maps = trunk.forward_intermediates(channels, indices=count, intermediates_only=True)
    return cast(Tensor, maps[-1 - MAP_FEATURES.index(layer)])
