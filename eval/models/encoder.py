"""A checkpoint to a frozen backbone: ours, and those of other repositories."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from torch import Tensor, nn

from dilo.eval.models.build import load_network
from dilo.eval.models.two_stream import SingleStream, TwoStream
from dilo.pipeline.errors import CheckpointError
from dilo.train.augment.color import to_color_space
from dilo.train.engine.checkpoint import checkpoint_file
from dilo.train.networks.encoder import feature_map
from dilo.train.recipes.recipe import ModelRecipe, ViewsRecipe
from dilo.train.weights.architecture import add_head, infer_model
from dilo.train.weights.formats import read_weights
from dilo.train.weights.layouts import CheckpointWeights, find_backbones, nested_get

#: What of a network is evaluated: what it pools, or what its projection head makes of that.
Layer = Literal["pooled", "embedding"]


#: The colours that networks see, by name.
SPACES: tuple[str, ...] = get_args(get_type_hints(ViewsRecipe)["space"])


#: What our checkpoints say of the data they were trained on.
_DIGESTS = ("images", "masks", "backgrounds")


#: Counts in a file are below it; sides of images, in pixels, are not above.
_BEYOND = 2**63


_LARGEST_SIDE = 2**14


#: Characters of a name or of digests: longer text in their place is none.
_LONGEST = 1000


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen backbone and what an evaluation must know of it.

    Attributes
    ----------
    network : Module
        Maps (B, 3, H, W) float32, in the colours that `space` names, to the pooled features
        (B, D) float32, or to the embedding. In eval mode; no parameter requires a gradient.
    size : int
        Side, in pixels, of the images it was trained on.
    source : Path
        The file that the weights came from.
    step : int or None
        Optimiser steps taken, where the file says so.
    space : str
        The colours it sees, as `views.space` of a recipe names them.
    model : ModelRecipe
        Architecture, stem, width and head.
    recipe : mapping of str to object
        The recipe of its training, as the file has it; empty where it has none.
    training : mapping of str to int or str
        What else the file says of its training: "epoch", and of ours the digests of "images",
        "masks" and "backgrounds", and the file that it began with, "init".
    layer : {"pooled", "embedding"}
        What `network` gives.
    part : str or None
        Which network of a file that holds several, by its place.
    """

    network: nn.Module
    size: int
    source: Path
    step: int | None = None
    space: str = "rgb"
    model: ModelRecipe = field(default_factory=ModelRecipe)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, int | str] = field(default_factory=dict)
    layer: Layer = "pooled"
    part: str | None = None

    def features(self, images: Tensor) -> Tensor:
        """Turn images into features.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the network's device.

        Returns
        -------
        Tensor of shape (B, D), float32
            Pooled, not normalised; or embedded.
        """
        features: Tensor = self.network(to_color_space(images, self.space))
        return features

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Give what each backbone pools; the means over the cells, side by side, are `features`.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the network's device.

        Returns
        -------
        list of Tensor of shape (B, D, h, w), float32
            The last feature map; of a pair, luminance's, then that of colours.

        Raises
        ------
        RecipeError
            If the network has none, as a vision transformer.
        """
        return [feature_map(backbone, channels) for backbone, channels in self.streams(images)]

    def streams(self, images: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """Pair each backbone with what it sees.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the network's device.

        Returns
        -------
        list of (Module, Tensor)
            The network, and the channels of the images that it takes; of a pair, two of them.
        """
        pixels = to_color_space(images, self.space)
        if isinstance(self.network, TwoStream | SingleStream):
            return self.network.streams(pixels)
        return [(self.network, pixels)]


def load_encoder(
    path: Path,
    *,
    arch: str | None = None,
    size: int | None = None,
    layer: Layer = "pooled",
    part: str | None = None,
) -> Encoder:
    """Read the backbone of a checkpoint, with or without its projection head.

    Parameters
    ----------
    path : Path
        A checkpoint, or the folder of a run, which stands for its newest checkpoint.
    arch : str, optional
        Name of the network, a ResNet or ``timm:NAME``; by default what the file says.
    size : int, optional
        Side of the evaluated images in pixels; by default that of the recipe in the
        file, or 224.
    layer : {"pooled", "embedding"}, default "pooled"
        What the network is to give: what it pools, or what its projection head makes of that.
    part : str, optional
        Where the file holds several networks: which, by its place, as "teacher".

    Returns
    -------
    Encoder
        The frozen backbone.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, it is damaged, or its weights are not exactly those of the
        architecture. Objects of other programs in it are dropped, and nothing of them is run.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: the key names, and taking the query encoder.
    """
    source = checkpoint_file(path)
    content = read_weights(source)
    weights = find_backbones(content, source, arch, part)
    encoder = encoder_of(content, weights, source, arch, size, layer)
    return replace(encoder, part=part)


def encoder_of(
    content: object,
    weights: CheckpointWeights,
    source: Path,
    arch: str | None = None,
    size: int | None = None,
    layer: Layer = "pooled",
) -> Encoder:
    """Build the network that the weights of a file belong to, and fill it."""
    recipe = nested_get(content, "dilo", "recipe")
    recipe = recipe if isinstance(recipe, Mapping) else {}
    model = infer_model(content, weights, source, arch)
    if layer == "embedding":
        model = add_head(model, weights, source)
    space = _text(nested_get(recipe, "views", "space")) or weights.space
    if space not in SPACES:
        raise CheckpointError(
            f"{source}: its colours must be one of {', '.join(SPACES)}, got {space[:40]!r}: "
            "take another checkpoint"
        )
    return Encoder(
        load_network(model, weights, source, headless=layer == "pooled"),
        size or _side(nested_get(recipe, "views", "size"), source) or 224,
        source,
        _count(nested_get(content, "dilo", "step")),
        space,
        model,
        recipe,
        _training(content),
        layer,
    )


def _training(content: object) -> dict[str, int | str]:
    """Take what else a file says of its training."""
    facts: dict[str, int | str | None] = {"epoch": _count(nested_get(content, "epoch"))}
    facts["epoch"] = facts["epoch"] or _count(nested_get(content, "dilo", "epoch"))
    facts |= {name: _text(nested_get(content, "dilo", name)) for name in _DIGESTS}
    facts["init"] = _initial(nested_get(content, "dilo", "init"))
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _initial(init: object) -> str | None:
    """Name the weights that a training began with, as a checkpoint or an export of ours does."""
    if not isinstance(init, Mapping):
        return _text(init)
    file, digest = _text(init.get("file")), _text(init.get("sha256"))
    return f"{file}, SHA-256 {digest}" if file and digest else None


def _text(value: object) -> str | None:
    """Keep a string, drop anything else that a foreign file may hold in its place."""
    return value if isinstance(value, str) and len(value) <= _LONGEST else None


def _count(value: object) -> int | None:
    """Keep a number that counts something, drop anything else."""
    return value if type(value) is int and 0 <= value < _BEYOND else None


def _side(value: object, source: Path) -> int | None:
    """Keep a side of images that can be; a file that says none has none."""
    if type(value) is int and not 0 < value <= _LARGEST_SIDE:
        got = value if abs(value) < _BEYOND else "a number beyond all images"
        raise CheckpointError(
            f"{source}: views.size of its recipe must be 1 to {_LARGEST_SIDE} pixels, got {got}: "
            "give another --size, or take another checkpoint"
        )
    return value if type(value) is int else None
