"""The methods and refinements there are, by name: ours, and those of other installed packages."""

from typing import Any, TypeAlias

from dilo.pipeline.common.plugins import LazyFunction, Plugins
from dilo.pipeline.saliency.method import Method, Refinement
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import NetworkParameters
from dilo.pipeline.saliency.parameters import (
    ConsensusParameters,
    GrabCutParameters,
    GsParameters,
    McParameters,
    MrParameters,
    Parameters,
    RbdParameters,
)

#: The group of entry points under which a package registers methods.
GROUP = "dilo.saliency"

#: What a name of a method stands for.
AnyMethod: TypeAlias = Method[Any] | NetworkMethod[Any]


class Registry(Plugins[AnyMethod]):
    """Methods by name: ours, and those that other packages register."""

    requirement = (
        "a dilo.pipeline.saliency.Method whose parameters derive from Parameters, or a "
        "NetworkMethod whose parameters derive from NetworkParameters"
    )

    def is_valid(self, plugin: Any) -> bool:
        """Check whether a package registers a method.

        Parameters
        ----------
        plugin : object
            What its entry point names.

        Returns
        -------
        bool
            Whether it is one, with parameters of the kind that a plan keeps.
        """
        if isinstance(plugin, NetworkMethod):
            return isinstance(plugin.parameters, NetworkParameters)
        return isinstance(plugin, Method) and isinstance(plugin.parameters, Parameters)


_HERE = "dilo.pipeline.saliency"
# The networks are not here: imports run one way, so dilo.train, which trains them, and dilo.eval,
# which reads classifiers, register theirs as any package does.
# Imported on first use: compiling and image libraries would slow every command's start.
METHODS = Registry(
    {
        "consensus": Method(
            ConsensusParameters(), LazyFunction(f"{_HERE}.classical.consensus", "consensus")
        ),
        "gs": Method(GsParameters(), LazyFunction(f"{_HERE}.classical.gs", "gs")),
        "mc": Method(McParameters(), LazyFunction(f"{_HERE}.classical.mc", "mc")),
        "mr": Method(MrParameters(), LazyFunction(f"{_HERE}.classical.mr", "mr")),
        "rbd": Method(RbdParameters(), LazyFunction(f"{_HERE}.classical.rbd", "rbd")),
    },
    GROUP,
)
#: What can be done to any method's map afterwards.
REFINEMENTS: dict[str, Refinement[Any]] = {
    "grabcut": Refinement(GrabCutParameters(), LazyFunction(f"{_HERE}.cuts.grabcut", "grabcut"))
}
