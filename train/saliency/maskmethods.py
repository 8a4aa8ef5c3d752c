"""The networks that are trained for saliency as methods that make masks; light to import."""

from dilo.pipeline.common.plugins import LazyFunction
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import SalientObjectParameters
from dilo.pipeline.saliency.weights import read_trained_side

#: torch comes with it, which is not asked for until a network is opened.
_NETWORKS = "dilo.train.saliency.masknetwork"
#: What setup.cfg registers, as another package would.
BASNET = NetworkMethod(
    SalientObjectParameters(), LazyFunction(_NETWORKS, "open_basnet"), read_trained_side
)
UNET = NetworkMethod(
    SalientObjectParameters(side=128), LazyFunction(_NETWORKS, "open_unet"), read_trained_side
)
