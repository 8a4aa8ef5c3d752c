"""A recipe: all that decides a training run, frozen, with unknown keys refused.

What stands behind ``#:`` above a field is what `dilo-train --print` writes above its key.
"""

import dataclasses
import itertools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dilo.pipeline.errors import RecipeError, near
from dilo.train.recipes.schema import Rule, check_rules, from_plain

#: What no machine that exists could train with: a value beyond is a slip.
MOST = {
    "model.width": 64,
    "model.dim": 2**16,
    "model.head_layers": 100,
    "moco.queue": 2**28,
    "memory.negatives": 2**24,
    "views.size": 4096,
    "paste.bank": 2**20,
    "paste.blend_sigma": 4096,
    "optimizer.batch": 2**20,
    "optimizer.epochs": 10**6,
}
#: Networks of torchvision that recipes may name.
ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101")


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The encoder: a backbone and its projection head."""

    #: "resnet18", "resnet34", "resnet50", "resnet101", or "timm:NAME" if timm is installed.
    arch: str = "resnet50"
    #: "imagenet": 7 x 7 stride 2 and max-pool; "small": 3 x 3 stride 1, for images under 100 px.
    stem: Literal["imagenet", "small"] = "imagenet"
    #: Factor for the channels of layer1 to layer4, as in CMC: 0.5, 1, 2; the stem keeps 64.
    width: float = 1.0
    #: "linear" (MoCo v1), "mlp" (two layers, MoCo v2) or "simclr" (each layer with batch norm).
    head: Literal["linear", "mlp", "simclr"] = "linear"
    #: Layers of the "simclr" head.
    head_layers: int = 2
    #: Dimension of the embedding, the output of the head.
    dim: int = 128
    #: Batch-norm groups: the batch is normalised in this many parts, for any number of ranks;
    #: MoCo shuffles keys among them. 1 normalises the whole batch at once.
    bn_groups: int = 8


@dataclass(frozen=True, kw_only=True)
class MocoRecipe:
    """For the methods "moco" and "naive": the queue, the key encoder, the temperature."""

    #: Number of keys of earlier batches in the queue, the negatives.
    queue: int = 65536
    #: Momentum of the key encoder: the share of its weights that it keeps at each step.
    momentum: float = 0.999
    #: Similarities are divided by it.
    temperature: float = 0.07
    #: For "moco": one more negative for each query, its own background with the foreground of
    #: another image (Ryali et al. 2021). Needs masks, whether views are pasted or not.
    swap_negatives: bool = False


@dataclass(frozen=True, kw_only=True)
class MemoryRecipe:
    """For the methods "instdisc" and "cmc": the memory bank, one slot per image."""

    #: "nce": noise-contrastive estimation with its constant Z; "softmax": cross-entropy.
    loss: Literal["nce", "softmax"] = "nce"
    #: Negatives drawn from the bank for each sample, with replacement; 0 with "softmax": all.
    negatives: int = 4096
    #: Momentum of the bank: the share of its old value that a slot keeps.
    momentum: float = 0.5
    #: Similarities are divided by it.
    temperature: float = 0.07


@dataclass(frozen=True, kw_only=True)
class SimclrRecipe:
    """For the method "simclr": its loss."""

    #: Similarities are divided by it.
    temperature: float = 0.1


@dataclass(frozen=True, kw_only=True)
class ViewsRecipe:
    """How a view is drawn from an image."""

    #: Height and width of a view, in pixels.
    size: int = 224
    #: "random": a crop of random area and shape; "center": the centre crop of evaluation.
    crop: Literal["random", "center"] = "random"
    #: Smallest and largest share of the image's area in a random crop.
    crop_scale: tuple[float, float] = (0.2, 1.0)
    #: Smallest share of an image's object, by its mask, in a random crop: of up to ten crops, the
    #: first that shows so much, else the one that shows most (CAST: 0.2). 0: any crop.
    min_object: float = 0.0
    #: Probability of a horizontal flip.
    flip: float = 0.5
    #: Colour augmentations, in this order: "jitter", "gray", "blur".
    order: tuple[Literal["jitter", "gray", "blur"], ...] = ("gray", "jitter")
    #: Probability of colour jitter.
    jitter: float = 1.0
    #: Its strength s for brightness, contrast, saturation (factors from max(0, 1 - s) to 1 + s)
    #: and hue (a shift of -s to s turns), as in torchvision.
    jitter_strength: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.4)
    #: Probability of grayscale.
    gray: float = 0.2
    #: Probability of Gaussian blur.
    blur: float = 0.5
    #: Range of the blur's sigma, in pixels of the view.
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    #: Input of the network: "rgb", standardised; "unit", RGB in [0, 1] (SimCLR); or "lab",
    #: "ycbcr", "ydbdr", luminance and two colour differences, standardised (CMC).
    space: Literal["rgb", "unit", "lab", "ycbcr", "ydbdr"] = "rgb"


@dataclass(frozen=True, kw_only=True)
class BackgroundsRecipe:
    """Kinds of backgrounds, by weight: how often each is drawn, relative to the others."""

    #: A uniform gray level from 0 to 254, drawn for each paste.
    gray: float = 1.0
    #: Textures, from a store by dilo-prep backgrounds --kind textures.
    textures: float = 0.0
    #: Windows of images without an object, from a store by --kind crops.
    crops: float = 0.0
    #: Whole images, from a store by --kind images.
    images: float = 0.0
    #: Uniform noise: each value of each pixel drawn alone, 0 to 255.
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PasteRecipe:
    """Copy-paste: how often, on what, and with which edge."""

    #: Probability of a paste, for each view alone; 0 trains without copy-paste.
    probability: float = 0.3
    #: First epoch with pastes, counted from 0; no view of an earlier one is pasted.
    from_epoch: int = 0
    #: Which views may be pasted: "both", or "query", the first alone, which is MoCo's query; of a
    #: method with one view, that one.
    views: Literal["both", "query"] = "both"
    #: Edge: "none": the mask as it is; "gaussian": blurred; "mix": one of both, equally often.
    blend: Literal["none", "gaussian", "mix"] = "mix"
    #: Sigma of that blur, in pixels of the image.
    blend_sigma: float = 5.0
    #: "soft": the mask is the alpha; "binary": the alpha is 1 where the mask reaches the
    #: threshold, else 0.
    alpha: Literal["soft", "binary"] = "soft"
    #: For "binary": smallest value of the mask, from 0 to 1, that is foreground.
    threshold: float = 0.5
    #: Images whose mask covers less than this share are never pasted.
    min_coverage: float = 0.01
    #: Number of backgrounds held on the device, drawn again for each epoch.
    bank: int = 1024
    backgrounds: BackgroundsRecipe = field(default_factory=BackgroundsRecipe)


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """The optimiser and its schedule, with epochs as the MoCo repository counts them."""

    #: "sgd", "lars", "adam" (weight decay as L2 in the gradient), or "adamw" (decoupled weight
    #: decay, not of biases and batch norm).
    name: Literal["sgd", "lars", "adam", "adamw"] = "sgd"
    #: Number of epochs.
    epochs: int = 200
    #: Batch size, over all devices.
    batch: int = 256
    #: Learning rate for a batch of `lr_batch`; scaled for another batch.
    lr: float = 0.03
    #: The batch that `lr` is meant for.
    lr_batch: int = 256
    #: Scaling of the rate by batch / lr_batch: "linear", "sqrt" or "none".
    scaling: Literal["linear", "sqrt", "none"] = "linear"
    #: Momentum of "sgd" and "lars"; first beta of "adam" and "adamw".
    momentum: float = 0.9
    #: Weight decay.
    weight_decay: float = 1e-4
    #: "constant", "cosine" (to 0 at the end) or "step".
    schedule: Literal["constant", "cosine", "step"] = "step"
    #: For "step": epochs, counted from 0, at which the rate is divided by 10.
    milestones: tuple[int, ...] = (120, 160)
    #: Epochs of linear warm-up from 0.
    warmup: float = 0.0
    #: Whether the rate changes each "epoch" (MoCo) or each "step" (SimCLR).
    by: Literal["epoch", "step"] = "epoch"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a run, except the data and the machine."""

    #: "moco", "instdisc", "cmc", "simclr", "supervised", "naive", or one that a package registers.
    method: str = "moco"
    #: Seed of the initial weights and of everything random.
    seed: int = 0
    model: ModelRecipe = field(default_factory=ModelRecipe)
    moco: MocoRecipe = field(default_factory=MocoRecipe)
    memory: MemoryRecipe = field(default_factory=MemoryRecipe)
    simclr: SimclrRecipe = field(default_factory=SimclrRecipe)
    views: ViewsRecipe = field(default_factory=ViewsRecipe)
    paste: PasteRecipe = field(default_factory=PasteRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    #: What a method of another package wants to be told: plain values, checked by it.
    options: Mapping[str, Any] = field(default_factory=dict)


def uses_of_masks(recipe: Recipe) -> dict[str, str]:
    """Say in words what a recipe needs masks for, besides its method; and what does without."""
    uses: dict[str, str] = {}
    if recipe.paste.probability:
        uses[f"pastes with probability {recipe.paste.probability:g}"] = "paste.probability=0"
    if recipe.views.min_object:
        uses[f"has views.min_object = {recipe.views.min_object:g}"] = "views.min_object=0"
    if recipe.moco.swap_negatives:
        uses["has moco.swap_negatives"] = "moco.swap_negatives=false"
    return uses


def recipe_from_dict(values: Mapping[str, Any], source: str) -> Recipe:
    """Make a recipe of plain values."""
    recipe = from_plain(Recipe, values, source)
    _check(recipe, source)
    return recipe


def _check(recipe: Recipe, source: str) -> None:
    """Refuse values that are of the right type and still make no run."""
    moco, memory, model = recipe.moco, recipe.memory, recipe.model
    views, optimizer = recipe.views, recipe.optimizer
    fractions = ("min_object", "flip", "jitter", "gray", "blur")
    shares = {f"views.{k}": getattr(views, k) for k in fractions}
    shares |= {"moco.momentum": moco.momentum, "memory.momentum": memory.momentum}
    temperatures = {k: getattr(recipe, k).temperature for k in ("moco", "memory", "simclr")}
    low, high = views.crop_scale
    least_blur, most_blur = views.blur_sigma
    blurs = 0 < least_blur <= most_blur <= 1000
    strength = views.jitter_strength
    swappable = recipe.method == "moco" or not moco.swap_negatives
    rules: list[Rule] = [
        *((f"{k} must be in [0, 1]", 0 <= v <= 1, v) for k, v in shares.items()),
        *((f"{k}.temperature must be positive", v > 0, v) for k, v in temperatures.items()),
        ("views.crop_scale must be 0 < low <= high <= 1", 0 < low <= high <= 1, (low, high)),
        (
            "views.min_object > 0 needs views.crop random",
            not views.min_object or views.crop == "random",
            views.crop,
        ),
        ("views.size must be at least 8", views.size >= 8, views.size),
        ("views.order must not repeat", len(set(views.order)) == len(views.order), views.order),
        ("views.jitter_strength must be >= 0", min(strength) >= 0, strength),
        ("views.jitter_strength's hue must be at most 0.5", strength[3] <= 0.5, strength),
        ("views.blur_sigma must be 0 < low <= high <= 1000", blurs, views.blur_sigma),
        *most_rules(recipe, MOST),
        *paste_rules(recipe.paste, optimizer.epochs),
        ("moco.queue must be at least 1", moco.queue >= 1, moco.queue),
        ("moco.swap_negatives = true needs method moco", swappable, recipe.method),
        ("memory.negatives must be at least 0", memory.negatives >= 0, memory.negatives),
        ("model.width must be positive", model.width > 0, model.width),
        ("model.dim must be at least 1", model.dim >= 1, model.dim),
        ("model.head_layers must be at least 1", model.head_layers >= 1, model.head_layers),
        ("model.bn_groups must be at least 1", model.bn_groups >= 1, model.bn_groups),
        *optimizer_rules(optimizer, least=2),
        ("seed must be in [0, 2**64)", 0 <= recipe.seed < 2**64, recipe.seed),
    ]
    check_rules(rules, source)
    if model.arch not in ARCHITECTURES and not model.arch.startswith("timm:"):
        raise RecipeError(
            f"{source}: model.arch must be one of {', '.join(ARCHITECTURES)} or timm:NAME, "
            f"got {model.arch!r}{near(model.arch, ARCHITECTURES)}"
        )
    if optimizer.batch % model.bn_groups or optimizer.batch // model.bn_groups < 2:
        raise RecipeError(
            f"{source}: model.bn_groups must divide optimizer.batch into groups of at least 2, "
            f"got {model.bn_groups} groups of a batch of {optimizer.batch}"
        )


def most_rules(recipe: object, bounds: Mapping[str, float]) -> list[Rule]:
    """Return the rules of the largest values."""
    values = {key: operator.attrgetter(key)(recipe) for key in bounds}
    return [
        (f"{key} must be at most {bound}", values[key] <= bound, values[key])
        for key, bound in bounds.items()
    ]


def paste_rules(paste: PasteRecipe, epochs: int) -> list[Rule]:
    """Return each rule of copy-paste in a run of so many epochs, whether it holds, and the value."""
    fractions = {k: getattr(paste, k) for k in ("probability", "threshold", "min_coverage")}
    weights = list(dataclasses.asdict(paste.backgrounds).values())
    finite = all(map(math.isfinite, weights))
    starts = paste.from_epoch == 0 or 0 < paste.from_epoch < epochs
    return [
        *((f"paste.{k} must be in [0, 1]", 0 <= v <= 1, v) for k, v in fractions.items()),
        (
            f"paste.from_epoch must be >= 0 and less than optimizer.epochs, {epochs}",
            starts,
            paste.from_epoch,
        ),
        ("paste.blend_sigma must be positive", paste.blend_sigma > 0, paste.blend_sigma),
        ("paste.bank must be at least 1", paste.bank >= 1, paste.bank),
        ("paste.backgrounds must be finite and >= 0", finite and min(weights) >= 0, weights),
        ("paste.backgrounds must not all be 0", any(weights), weights),
    ]


def optimizer_rules(optimizer: OptimizerRecipe, *, least: int) -> list[Rule]:
    """Return each rule of the optimiser, for batches of at least `least` images."""
    epochs, warmup, decay = optimizer.epochs, optimizer.warmup, optimizer.weight_decay
    rises = all(a < b for a, b in itertools.pairwise((warmup, *optimizer.milestones)))
    rises |= optimizer.schedule != "step"
    upper = f"less than optimizer.epochs, {epochs}"
    lower = f"optimizer.warmup, {warmup:g}"
    return [
        (f"optimizer.batch must be at least {least}", optimizer.batch >= least, optimizer.batch),
        ("optimizer.epochs must be at least 1", epochs >= 1, epochs),
        ("optimizer.lr must be positive", 0 < optimizer.lr < math.inf, optimizer.lr),
        ("optimizer.weight_decay must be >= 0", 0 <= decay < math.inf, decay),
        (f"optimizer.warmup must be >= 0 and {upper}", 0 <= warmup < epochs, warmup),
        ("optimizer.lr_batch must be at least 1", optimizer.lr_batch >= 1, optimizer.lr_batch),
        ("optimizer.momentum must be in [0, 1)", 0 <= optimizer.momentum < 1, optimizer.momentum),
        (f"optimizer.milestones must rise from over {lower}", rises, optimizer.milestones),
    ]
