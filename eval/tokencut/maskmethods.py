"""The normalised cut as a method that makes masks: every number of it, light to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dilo.pipeline.common.plugins import LazyFunction
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import NetworkParameters
from dilo.pipeline.saliency.parameters import require, require_one_of

#: Of a vision transformer: the tokens that it ends in, or a part of its last attention.
TOKEN_FEATURES = ("token", "key", "query", "value")
#: Of a convolutional network: its last feature map, or the one before.
MAP_FEATURES = ("layer4", "layer3")
GRAPHS = ("weighted", "binary")
ORIENTATIONS = ("border", "seed", "corners")
COMPONENTS = ("all", "seed")

#: What a recipe stands for: "published" is TokenCut to the letter. Parameters that are given
#: beside it win.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "weighted": {
        "graph": "weighted",
        "eps": 1e-9,
        "orient": "border",
        "component": "all",
        "soft": True,
    },
    "published": {
        "features": "key",
        "graph": "binary",
        "tau": 0.2,
        "eps": 1e-5,
        "orient": "seed",
        "component": "seed",
        "soft": False,
    },
}


@dataclass(frozen=True, kw_only=True)
class TokenCutParameters(NetworkParameters):
    """The normalised cut of a graph whose nodes are the cells of a network's features.

    References
    ----------
    Y. Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery using
    Normalized Cut", CVPR 2022, and the code that goes with it.
    J. Shi and J. Malik, "Normalized Cuts and Image Segmentation", IEEE TPAMI 22(8), 2000.
    X. Wang et al., "Cut and Learn for Unsupervised Object Detection and Instance Segmentation",
    CVPR 2023, for the corners.
    """

    side: int = 224
    #: "weighted" or "published": from where the parameters below start
    recipe: str = "weighted"
    #: The network where the file does not say it, as "resnet50" or "timm:NAME"; empty where it does
    arch: str = ""
    #: Of a vision transformer "token", "key", "query" or "value"; else "layer4" or "layer3"
    features: str = "token"
    #: Weights of edges: "weighted", the cosine to a power, or "binary"
    graph: str = "weighted"
    #: Weighted: the power of the cosine, of which negative ones are 0
    power: float = 2.0
    #: Binary: cosine above which two cells are alike
    tau: float = 0.2
    #: Weight of an edge between cells that are not alike; weighted: added to every edge
    eps: float = 1e-9
    #: Which side is the object: "border", that with less of the rim; "seed", that of the largest
    #: value of the eigenvector; "corners", that with fewer corners, and else the seed's
    orient: str = "border"
    #: "all" of the object's side, or its 4-connected part with the largest value, "seed"
    component: str = "all"
    #: Whether a mask rises with the eigenvector, or is 0 and 1
    soft: bool = True
    #: Steps of Lanczos at most
    steps: int = 256

    def __post_init__(self) -> None:
        """Refuse unknown words, and numbers that make no graph."""
        super().__post_init__()
        require_one_of("recipe", self.recipe, tuple(RECIPES))
        require_one_of("features", self.features, TOKEN_FEATURES + MAP_FEATURES)
        require_one_of("graph", self.graph, GRAPHS)
        require_one_of("orient", self.orient, ORIENTATIONS)
        require_one_of("component", self.component, COMPONENTS)
        require("power", self.power, at_least=0.1, at_most=100)
        require("tau", self.tau, at_least=-1, at_most=1)
        require("eps", self.eps, at_least=1e-12, at_most=0.1)
        require("steps", self.steps, at_least=2, at_most=4096)

    def implied(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the name of a recipe brings along.

        Parameters
        ----------
        values : mapping
            Names of parameters, and the values that a user or a plan gives them.

        Returns
        -------
        mapping
            The parameters of that recipe; of an unknown one none.
        """
        recipe = values.get("recipe")
        return RECIPES.get(recipe, {}) if isinstance(recipe, str) else {}


#: torch comes with it, which is not asked for until a network is opened.
_NETWORK = "dilo.eval.tokencut.mask_network"


#: What setup.cfg registers, as another package would.
TOKENCUT = NetworkMethod(
    TokenCutParameters(),
    LazyFunction(_NETWORK, "open_tokencut"),
    LazyFunction(_NETWORK, "read_defaults"),
)
