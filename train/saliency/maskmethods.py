"""The networks that are trained for saliency as methods that make masks; light to import."""

from dilo.pipeline.common.plugins import Later
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import SalientObjectParameters

#: torch comes with it, which is not asked for until a network is opened.
_NETWORKS = "dilo.train.saliency.masknetwork"
#: What setup.cfg registers, as another package would.
BASNET = NetworkMethod(SalientObjectParameters(), Later(_NETWORKS, "open_basnet"))
UNET = NetworkMethod(SalientObjectParameters(side=128), Later(_NETWORKS, "open_unet"))
