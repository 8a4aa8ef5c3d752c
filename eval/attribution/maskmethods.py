"""Classifiers and contrastive networks that make masks: every number of theirs, light to import."""

from dataclasses import dataclass

from dilo.pipeline.common.plugins import LazyFunction
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import NetworkParameters
from dilo.pipeline.saliency.parameters import MAX_SIDE, require, require_one_of

#: Whose score a class-specific map is of: the class with the highest, or the image's own, which
#: its first folder names.
CLASS_RULES = ("predicted", "folder")


#: How the gradient of a class score becomes a mask.
SEGMENTATIONS = ("grabcut", "star")


def _require_fp32(precision: str, method: str) -> None:
    """Refuse a precision that would move masks."""
    if precision != "fp32":
        raise ValueError(f"precision must be fp32 for {method}, got {precision!r}")


@dataclass(frozen=True, kw_only=True)
class ClassParameters(NetworkParameters):
    """A classifier whose score of one class is mapped."""

    side: int = 224
    #: The network where the file does not say it, as "resnet50" or "timm:NAME"; empty where it does
    arch: str = ""
    #: Which class: "predicted" or "folder"
    label: str = "predicted"

    def __post_init__(self) -> None:
        """Refuse an unknown rule."""
        super().__post_init__()
        require_one_of("label", self.label, CLASS_RULES)


@dataclass(frozen=True, kw_only=True)
class CamParameters(ClassParameters):
    """Class activation maps.

    References
    ----------
    B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
    """


@dataclass(frozen=True, kw_only=True)
class GradientParameters(ClassParameters):
    """The gradient of a class score, and the graph cut that it seeds.

    References
    ----------
    K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks: Visualising
    Image Classification Models and Saliency Maps", 2013, section 3.2.
    V. Gulshan et al., "Geodesic Star Convexity for Interactive Image Segmentation", CVPR 2010.
    """

    #: "grabcut", OpenCV's, or "star", with the constraint of Gulshan et al.
    segmentation: str = "grabcut"
    #: Side of the image that is cut, in pixels; the network sees the whole `side`
    cut_side: int = 128
    #: Quantiles of the map above which pixels seed the foreground's colours, and are foreground
    foreground: float = 0.95
    sure_foreground: float = 0.995
    #: Quantiles below which pixels seed the background's colours, and are background
    background: float = 0.3
    sure_background: float = 0.005
    #: GrabCut: how often colours are learnt anew from the cut
    iterations: int = 5
    #: Star: share of a uniform density that is mixed into each likelihood
    uniform: float = 0.05
    #: Star: weight of an edge between neighbours of equal colour against the likelihoods
    edge_weight: float = 150.0
    #: Star: weight of colour in the length of a path, from 0, which makes it Euclidean, to 1
    geodesic_weight: float = 0.3
    #: Start of the generator of the first clusters of colours; any will do
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse quantiles out of order, and what makes no cut."""
        super().__post_init__()
        require_one_of("segmentation", self.segmentation, SEGMENTATIONS)
        # bf16 moved masks by 0.03 and 0.06 on average.
        _require_fp32(self.precision, "a gradient, whose rounding moves the cut")
        bounds = (self.sure_background, self.background, self.foreground, self.sure_foreground)
        if not (0 <= bounds[0] <= bounds[1] < bounds[2] <= bounds[3] <= 1):
            raise ValueError(
                "sure_background <= background < foreground <= sure_foreground must be quantiles "
                f"from 0 to 1, got {', '.join(f'{bound:g}' for bound in bounds)}"
            )
        require("cut_side", self.cut_side, at_least=16, at_most=MAX_SIDE)
        require("iterations", self.iterations, at_least=1, at_most=1e4)
        require("edge_weight", self.edge_weight, at_least=0)
        require("seed", self.seed, at_least=0, at_most=2**31 - 1)
        if not 0 < self.uniform <= 1:  # without it a colour far from all would be of no side
            raise ValueError(f"uniform must be above 0 and at most 1, got {self.uniform!r}")
        if not 0 <= self.geodesic_weight <= 1:
            raise ValueError(f"geodesic_weight must be from 0 to 1, got {self.geodesic_weight!r}")


@dataclass(frozen=True, kw_only=True)
class ContraCamParameters(NetworkParameters):
    """ContraCAM: what tells an image from the negatives that its network was trained with.

    References
    ----------
    S. Mo et al., "Object-aware Contrastive Learning for Debiased Scene Representation", NeurIPS
    2021, and the code that goes with it: for pasting, one round at the stride that was trained.
    """

    side: int = 224
    #: The network where the file does not say it, as "resnet50" or "timm:NAME"; empty where it does
    arch: str = ""
    #: Stride of a ResNet's last stage: 2, as trained, or 1, for maps of twice the side, its
    #: kernels spread to match (the published code does not spread them)
    layer4_stride: int = 2

    def __post_init__(self) -> None:
        """Refuse rounding, and another stride."""
        super().__post_init__()
        # bf16 moved maps of a network that was drawn by 0.02 on average.
        _require_fp32(self.precision, "contracam, which stretches small differences")
        if self.layer4_stride not in (1, 2):
            raise ValueError(f"layer4_stride must be 1 or 2, got {self.layer4_stride!r}")


#: torch comes with them, which is not asked for until a network is opened.
_OPEN = LazyFunction("dilo.eval.attribution.mask_network", "open_classifier")
_OPEN_CONTRAST = LazyFunction("dilo.eval.attribution.contrast_network", "open_contrast")


#: What setup.cfg registers, as another package would.
CAM, GRADIENT = NetworkMethod(CamParameters(), _OPEN), NetworkMethod(GradientParameters(), _OPEN)
CONTRACAM = NetworkMethod(ContraCamParameters(), _OPEN_CONTRAST)
