"""What encoders end in: the projection heads of recipes, and classifiers."""

from torch import nn

from dilo.train.recipes.recipe import ModelRecipe


class Classifier(nn.Linear):
    """A linear layer that tells classes: what LARS neither decays nor adapts."""


def projection(model: ModelRecipe, width: int) -> nn.Module:
    """Build the projection head of a recipe.

    Parameters
    ----------
    model : ModelRecipe
        Head, its layers, and the width of the embedding.
    width : int
        Of the trunk's features, and of what is hidden in the head.

    Returns
    -------
    Module
        Maps (B, width) float32 to (B, model.dim) float32, not normalised.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: "linear".
    .. [2] X. Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020: "mlp".
    .. [3] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual
       Representations", ICML 2020, and its repository: "simclr".
    """
    if model.head == "mlp":
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, model.dim))
    if model.head == "simclr":
        return _normalised(width, model.dim, model.head_layers)
    return nn.Linear(width, model.dim)


def _normalised(width: int, dim: int, layers: int) -> nn.Sequential:
    """Build linear layers without bias, each with batch norm, and ReLU in between."""
    modules: list[nn.Module] = []
    for _ in range(layers - 1):
        modules += [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    last = nn.BatchNorm1d(dim)
    # The last has no beta. Frozen at 0 rather than left out, so that whatever replaces a batch
    # norm, in groups or across devices, finds all it expects.
    last.bias.requires_grad_(False)
    return nn.Sequential(*modules, nn.Linear(width, dim, bias=False), last)
