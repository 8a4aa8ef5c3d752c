"""The methods and refinements there are, by name."""

from typing import Any

from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import (
    CamParameters,
    GradientParameters,
    SalientObjectParameters,
)
from dilo.pipeline.saliency.parameters import (
    ConsensusParameters,
    GrabCutParameters,
    GsParameters,
    McParameters,
    MrParameters,
    RbdParameters,
)
from dilo.pipeline.saliency.registry import GROUP, Later, Method, Refinement, Registry

_HERE = "dilo.pipeline.saliency"
# Named in words, since imports run one way and never from here: classifiers are read by
# dilo.eval, the other networks are trained by dilo.train, and both bring torch.
_TRAIN, _EVAL = "dilo.train.saliency.masknetwork", "dilo.eval.masknetwork"
# Imported on first use: compiling and image libraries would slow every command's start.
METHODS = Registry(
    {
        "basnet": NetworkMethod(SalientObjectParameters(), Later(_TRAIN, "open_basnet")),
        "cam": NetworkMethod(CamParameters(), Later(_EVAL, "open_classifier")),
        "consensus": Method(ConsensusParameters(), Later(f"{_HERE}.consensus", "consensus")),
        "gradient": NetworkMethod(GradientParameters(), Later(_EVAL, "open_classifier")),
        "gs": Method(GsParameters(), Later(f"{_HERE}.gs", "gs")),
        "mc": Method(McParameters(), Later(f"{_HERE}.mc", "mc")),
        "mr": Method(MrParameters(), Later(f"{_HERE}.mr", "mr")),
        "rbd": Method(RbdParameters(), Later(f"{_HERE}.rbd", "rbd")),
        "unet": NetworkMethod(SalientObjectParameters(side=128), Later(_TRAIN, "open_unet")),
    },
    GROUP,
)
#: What can be done to any method's map afterwards.
REFINEMENTS: dict[str, Refinement[Any]] = {
    "grabcut": Refinement(GrabCutParameters(), Later(f"{_HERE}.refine", "grabcut"))
}
