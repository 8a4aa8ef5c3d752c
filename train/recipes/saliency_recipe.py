"""What there is to decide about training a network for saliency, and the recipes shipped for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from dilo.train.recipes.files import RecipeKind, read_recipe, shipped_recipes
from dilo.train.recipes.recipe import (
    OptimizerRecipe,
    PasteRecipe,
    Recipe,
    ViewsRecipe,
    most_rules,
    optimizer_rules,
    paste_rules,
)
from dilo.train.recipes.schema import Rule, check_rules, from_plain

#: What no machine that exists could train with: a value beyond is a slip.
MOST: Final = {
    "model.width": 1024,
    "data.size": 4096,
    "paste.bank": 2**20,
    "paste.blend_sigma": 4096,
    "optimizer.batch": 2**20,
    "optimizer.epochs": 10**6,
}
#: What the side of a crop must be a multiple of.
STRIDES: Final = {"basnet": 32, "unet": 16}


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """The network."""

    #: "basnet", or "unet", a light one.
    arch: Literal["basnet", "unet"] = "basnet"
    #: Channels of the first level; 64 in the published BASNet.
    width: int = 64


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """The augmentations of an image and its mask."""

    #: Images are resized to a square of this side, in pixels; masks are computed at it.
    size: int = 256
    #: Side of the random crop of that square, in pixels.
    crop: int = 224
    #: Range of a zoom, drawn uniformly: the image is resized to size / zoom before the crop, so
    #: that 0.5 shows half of each side; the crop never reaches beyond the image.
    scale: tuple[float, float] = (1.0, 1.0)
    #: Probability of a horizontal flip.
    flip: float = 0.5
    #: Strength of colour jitter: brightness, contrast and saturation by factors from 1 - jitter
    #: to 1 + jitter, the hue by up to a quarter of it, in turns.
    jitter: float = 0.0
    #: Images whose mask in the store covers less than this share, or nothing, are skipped.
    min_coverage: float = 0.0

    def views(self) -> ViewsRecipe:
        """Return the recipe of a view with this flip and these colours, as pretraining has it."""
        return ViewsRecipe(
            size=self.crop,
            # The cut is made before: a view shows all of it, and so does a paste's background.
            crop_scale=(1.0, 1.0),
            flip=self.flip,
            jitter=1.0,
            jitter_strength=(self.jitter, self.jitter, self.jitter, self.jitter / 4),
            order=("jitter",) if self.jitter else (),
            space="unit",
        )


@dataclass(frozen=True, kw_only=True)
class LossRecipe:
    """Weights of the parts of the loss of each output; the outputs' losses are added."""

    #: Binary cross-entropy.
    bce: float = 1.0
    #: 1 - SSIM.
    ssim: float = 1.0
    #: 1 - intersection over union.
    iou: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SaliencyOptimizerRecipe(OptimizerRecipe):
    """The optimiser and its schedule; the defaults are BASNet's."""

    name: Literal["sgd", "lars", "adam", "adamw"] = "adam"
    epochs: int = 300
    batch: int = 8
    lr: float = 1e-3
    scaling: Literal["linear", "sqrt", "none"] = "none"
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "step"] = "constant"
    by: Literal["epoch", "step"] = "step"


@dataclass(frozen=True, kw_only=True)
class NoiseRecipe:
    """Training on masks that are often wrong; with all 0, each is taken as it is."""

    #: Exponent c of a pixel's weight abs(2 t - 1)^c, where t is its target.
    confidence: float = 0.0
    #: Momentum of the teacher, the moving average of the weights, which makes the masks
    #: afterwards. 0: no teacher.
    teacher: float = 0.0
    #: Weight of the teacher's prediction in the target, at the end of training.
    trust: float = 0.0
    #: Epoch from which the teacher is used; its weight rises linearly from there to the end.
    trust_from: float = 0.0
    #: Exponent of an image's weight, the soft IoU of mask and teacher, from epoch `trust_from`.
    agreement: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SaliencyRecipe:
    """Everything that determines the training of a saliency network, except data and machine."""

    #: Seed of the initial weights and of everything random.
    seed: int = 0
    model: NetworkRecipe = field(default_factory=NetworkRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    paste: PasteRecipe = field(default_factory=lambda: PasteRecipe(probability=0.0))
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimizer: SaliencyOptimizerRecipe = field(default_factory=SaliencyOptimizerRecipe)
    noise: NoiseRecipe = field(default_factory=NoiseRecipe)


#: What any training goes by.
RunRecipe: TypeAlias = Recipe | SaliencyRecipe


def saliency_recipe(values: Mapping[str, Any], source: str) -> SaliencyRecipe:
    """Make a recipe of plain values."""
    recipe = from_plain(SaliencyRecipe, values, source)
    rules = [
        *_picture_rules(recipe),
        *paste_rules(recipe.paste, recipe.optimizer.epochs),
        *_learning_rules(recipe),
        *most_rules(recipe, MOST),
    ]
    check_rules(rules, source)
    return recipe


def _picture_rules(recipe: SaliencyRecipe) -> list[Rule]:
    """Return each rule of network and data, whether it holds, and the value."""
    model, data = recipe.model, recipe.data
    size, crop, stride = data.size, data.crop, STRIDES[model.arch]
    low, high = data.scale
    divides = crop > 0 and crop % stride == 0
    fractions = {k: getattr(data, k) for k in ("flip", "jitter", "min_coverage")}
    return [
        ("seed must be in [0, 2**64)", 0 <= recipe.seed < 2**64, recipe.seed),
        ("model.width must be at least 1", model.width >= 1, model.width),
        # As `SalientObjectParameters` has it of the side at which masks are made.
        ("data.size must be a multiple of 32", size > 0 and size % 32 == 0, size),
        (f"data.crop must be a multiple of {stride}, for {model.arch}", divides, crop),
        (f"data.crop must be at most data.size, {size}", crop <= size, crop),
        ("data.scale must be 0.1 <= low <= high <= 10", 0.1 <= low <= high <= 10, data.scale),
        *((f"data.{k} must be in [0, 1]", 0 <= v <= 1, v) for k, v in fractions.items()),
    ]


def _learning_rules(recipe: SaliencyRecipe) -> list[Rule]:
    """Return each rule of loss, optimiser and noise, whether it holds, and the value."""
    loss, optimizer, noise = recipe.loss, recipe.optimizer, recipe.noise
    epochs = optimizer.epochs
    weights = (loss.bce, loss.ssim, loss.iou)
    finite = all(map(math.isfinite, weights)) and min(weights) >= 0
    exponents = {k: getattr(noise, k) for k in ("confidence", "agreement")}
    unused = not (noise.trust or noise.agreement)
    return [
        ("loss.bce, ssim, iou must be finite and >= 0", finite, weights),
        ("loss.bce, ssim, iou must not all be 0", any(weights), weights),
        *optimizer_rules(optimizer, least=1),
        *((f"noise.{k} must be >= 0", 0 <= v < math.inf, v) for k, v in exponents.items()),
        ("noise.teacher must be in [0, 1)", 0 <= noise.teacher < 1, noise.teacher),
        ("noise.trust must be in [0, 1]", 0 <= noise.trust <= 1, noise.trust),
        (
            f"noise.trust_from must be >= 0 and less than optimizer.epochs, {epochs}",
            0 <= noise.trust_from < epochs,
            noise.trust_from,
        ),
        (
            "noise.teacher must be positive, as 0.999, where noise.trust or noise.agreement is",
            bool(noise.teacher) or unused,
            noise.teacher,
        ),
    ]


SALIENCY: Final = RecipeKind(
    "dilo.train.recipes.saliency", saliency_recipe, "dilo-train saliency --recipe"
)


def saliency_listing() -> str:
    """Write the list of the recipes for a terminal."""
    names = shipped_recipes(SALIENCY)
    width = max(map(len, names))
    lines = (f"  {name:{width}}  {read_recipe(name, SALIENCY).summary}" for name in names)
    return "\n".join(["Recipes of dilo-train saliency", *lines])
