"""Saliency methods by name: ours, and those that other installed packages register."""

import importlib
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.plugins import Plugins
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import NetworkParameters
from dilo.pipeline.saliency.parameters import Parameters
from dilo.pipeline.saliency.step import Step

#: The group of entry points under which a package registers methods.
GROUP = "dilo.saliency"

P = TypeVar("P")
M = TypeVar("M", bound=Parameters)


class Method(Step[M]):
    """A saliency method.

    Its function takes a square RGB image of shape (side, side, 3), uint8, of the side that
    the parameters say, and gives saliency of shape (S, S), float64 in [0, 1], of any side S.
    """

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Run the method with its parameters on a square RGB image."""
        found: NDArray[np.float64] = self.function(image, self.parameters)
        return found


class Refinement(Step[P]):
    """What can be done to the map of any method.

    Its function takes a square RGB image of shape (S, S, 3), uint8, and its map of shape
    (S, S), float64, and gives a better map.
    """

    def __call__(
        self, image: NDArray[np.uint8], saliency: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Refine a map with the parameters."""
        found: NDArray[np.float64] = self.function(image, saliency, self.parameters)
        return found


@dataclass(frozen=True)
class Later:
    """A function that is imported when it is first called.

    Attributes
    ----------
    module : str
        Where it is.
    name : str
        What it is called there.
    """

    module: str
    name: str

    def __call__(self, *arguments: Any) -> Any:
        """Import the function, and call it."""
        return getattr(importlib.import_module(self.module), self.name)(*arguments)


#: What a name of a method stands for.
AnyMethod: TypeAlias = Method[Any] | NetworkMethod[Any]


class Registry(Plugins[AnyMethod]):
    """Methods by name: ours, and those that other packages register."""

    rule = (
        "a dilo.pipeline.saliency.Method whose parameters derive from Parameters, or a "
        "NetworkMethod whose parameters derive from NetworkParameters"
    )

    def fits(self, thing: Any) -> bool:
        """Tell whether a package registers a method.

        Parameters
        ----------
        thing : object
            What its entry point names.

        Returns
        -------
        bool
            Whether it is one, with parameters of the kind that a plan keeps.
        """
        if isinstance(thing, NetworkMethod):
            return isinstance(thing.parameters, NetworkParameters)
        return isinstance(thing, Method) and isinstance(thing.parameters, Parameters)
