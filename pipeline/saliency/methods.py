"""The methods and refinements there are, by name."""

from typing import Any

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
# Imported on first use: compiling and image libraries would slow every command's start.
METHODS = Registry(
    {
        "consensus": Method(ConsensusParameters(), Later(f"{_HERE}.consensus", "consensus")),
        "gs": Method(GsParameters(), Later(f"{_HERE}.gs", "gs")),
        "mc": Method(McParameters(), Later(f"{_HERE}.mc", "mc")),
        "mr": Method(MrParameters(), Later(f"{_HERE}.mr", "mr")),
        "rbd": Method(RbdParameters(), Later(f"{_HERE}.rbd", "rbd")),
    },
    GROUP,
)
#: What can be done to any method's map afterwards.
REFINEMENTS: dict[str, Refinement[Any]] = {
    "grabcut": Refinement(GrabCutParameters(), Later(f"{_HERE}.refine", "grabcut"))
}
