"""Networks of timm's, where it is installed, behind the same head as torchvision's."""

import difflib
import importlib
from typing import Any, cast

from torch import Tensor, nn

from dilo.pipeline.errors import RecipeError
from dilo.train.networks.heads import projection
from dilo.train.networks.pooling import masked_average
from dilo.train.recipes.recipe import ModelRecipe, Recipe
from dilo.train.runtime import distributed

#: What stands before the name of a network of timm's.
TIMM = "timm:"


class TimmEncoder(nn.Module):
    """A network of timm's without its classifier, `trunk`, and a head, `fc`.

    Parameters
    ----------
    trunk : Module
        Maps images to pooled features; has timm's `forward_features`.
    width : int
        Of its pooled features.
    fc : Module
        The head.
    """

    def __init__(self, trunk: nn.Module, width: int, fc: nn.Module) -> None:
        super().__init__()
        self.trunk, self.width, self.fc = trunk, width, fc

    def forward(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        """Embed images, or what a mask shows of them.

        Parameters
        ----------
        images : Tensor of shape (B, C, H, W), float32
            As the trunk takes them.
        masks : Tensor of shape (B, 1, H, W), float32, optional
            Under which the last feature map is pooled.

        Returns
        -------
        Tensor of shape (B, outputs)
            What the head gives.
        """
        if masks is None:
            return cast(Tensor, self.fc(self.trunk(images)))
        return cast(Tensor, self.fc(masked_average(self.features(images), masks)))

    def features(self, images: Tensor) -> Tensor:
        """Return the last feature map.

        Parameters
        ----------
        images : Tensor of shape (B, C, H, W), float32
            As the trunk takes them.

        Returns
        -------
        Tensor of shape (B, width, h, w)
            What the trunk pools.

        Raises
        ------
        RecipeError
            If it is not a map of as many channels as the pooled features have.
        """
        feature_map: Tensor = cast(Any, self.trunk).forward_features(images)
        if feature_map.ndim != 4 or feature_map.shape[1] != self.width:
            raise RecipeError(
                f"the last features of {type(self.trunk).__name__} must be a map "
                f"(B, {self.width}, h, w), got {tuple(feature_map.shape)}: take a convolutional "
                "model.arch that pools them as they are"
            )
        return feature_map

    def embed(self, feature_map: Tensor) -> Tensor:
        """Pool a feature map as the trunk does, and put it through the head.

        Parameters
        ----------
        feature_map : Tensor of shape (B, width, h, w)
            As `features` gives it.

        Returns
        -------
        Tensor of shape (B, outputs)
            What the head gives.
        """
        return cast(Tensor, self.fc(cast(Any, self.trunk).forward_head(feature_map)))


def timm_encoder(model: ModelRecipe, channels: int) -> TimmEncoder:
    """Build a randomly initialised network of timm's, with the projection head of a recipe.

    Parameters
    ----------
    model : ModelRecipe
        Architecture, ``timm:NAME``, head and width of the embedding.
    channels : int
        Channels of its input.

    Returns
    -------
    TimmEncoder
        Maps (B, channels, H, W) float32 to (B, model.dim) float32, not normalised.

    Raises
    ------
    RecipeError
        If timm is not installed or has no such network, or stem or width are asked for.
    """
    name = model.arch.removeprefix(TIMM)
    if (model.stem, model.width) != ("imagenet", 1.0):
        raise RecipeError(
            f"model.stem and model.width must stay as they are with {model.arch}, got "
            f"{model.stem!r} and {model.width}: timm has networks of other widths by other names"
        )
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError as error:
        raise RecipeError(
            f"model.arch {model.arch} needs timm ({error}): pip install timm"
        ) from error
    if not timm.is_model(name):
        similar = difflib.get_close_matches(name, timm.list_models(), cutoff=0.4)
        raise RecipeError(
            f"model.arch {model.arch} must be a network that timm {timm.__version__} has; "
            f"names like it: {', '.join(similar) or 'none'}"
        )
    trunk = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)
    # Some pool, then widen: timm since 1.0 tells what comes out of that.
    width: int = getattr(trunk, "head_hidden_size", None) or trunk.num_features
    return TimmEncoder(trunk, width, projection(model, width))


def require_fit(network: TimmEncoder, recipe: Recipe) -> None:
    """Refuse a network that cannot be trained as its recipe asks.

    Parameters
    ----------
    network : TimmEncoder
        As `timm_encoder` made it.
    recipe : Recipe
        Size of the views and batch-norm groups.

    Raises
    ------
    RecipeError
        If it takes views of one other size only, or its batch norms cannot be grouped.
    """
    _require_size(network, recipe)
    if recipe.model.bn_groups > 1 or distributed.world_size() > 1:
        _require_plain_batch_norm(network, recipe)


def _require_size(network: TimmEncoder, recipe: Recipe) -> None:
    """Refuse views of another size than the one that a network is made for."""
    config: Any = getattr(network.trunk, "pretrained_cfg", None) or {}
    if config.get("fixed_input_size") and config["input_size"][-1] != recipe.views.size:
        raise RecipeError(
            f"views.size must be {config['input_size'][-1]} with {recipe.model.arch}, "
            f"got {recipe.views.size}: the network takes no other"
        )


def _require_plain_batch_norm(network: nn.Module, recipe: Recipe) -> None:
    """Refuse batch norms that do more than normalise, which no other can take the place of."""
    for name, module in network.named_modules():
        plain = type(module) in (nn.BatchNorm1d, nn.BatchNorm2d)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not plain:
            raise RecipeError(
                f"{recipe.model.arch} normalises and activates in one: {name} is a "
                f"{type(module).__name__}, which can be done neither in groups nor across "
                "processes: set model.bn_groups = 1 and train in one process, or take another "
                "model.arch"
            )
