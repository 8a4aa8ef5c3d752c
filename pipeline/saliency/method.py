"""What a saliency method is, and a refinement: parameters, which a plan keeps, and a function."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import near
from dilo.pipeline.saliency.parameters import Parameters

P = TypeVar("P")


@dataclass(frozen=True)
class Step(Generic[P]):
    """A part of the way to a mask: its parameters, and the function they are given to.

    Attributes
    ----------
    parameters : P
        Every number that decides what comes out: a frozen dataclass of numbers, strings,
        booleans and tuples of numbers.
    function : callable
        What is computed or opened by these parameters, which are among its arguments.
    """

    parameters: P
    function: Callable[..., Any]

    def values(self) -> dict[str, Any]:
        """Give every parameter, as JSON gives them back.

        Returns
        -------
        dict
            Names and values: numbers, strings, booleans and lists.
        """
        values: dict[str, Any] = json.loads(
            json.dumps(dataclasses.asdict(cast("Any", self.parameters)))
        )
        return values

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Make the same step with other parameters.

        Parameters
        ----------
        values : mapping
            Names and new values, of the types that `values` gives.

        Returns
        -------
        Step
            With these values.

        Raises
        ------
        ValueError
            If a name is unknown, or a value is not of its parameter's type or out of range.
        """
        known = self.values()
        for name, value in values.items():
            if name not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got no such parameter"
                    f"{near(name, known)}"
                )
            if not _alike(value, known[name]):
                raise ValueError(f"{name} must be like {known[name]!r}, got {value!r}")
            if not _usable(value):
                raise ValueError(f"{name} must be finite and below 2**63, got {value!r}")
        typed = {name: _typed(value, known[name]) for name, value in values.items()}
        return dataclasses.replace(
            self, parameters=dataclasses.replace(cast("Any", self.parameters), **typed)
        )


def _alike(value: Any, known: Any) -> bool:
    """Tell whether a value can take the place of another; a whole number serves for any."""
    if isinstance(known, list):
        same = isinstance(value, list | tuple) and len(value) == len(known)
        return same and all(_alike(v, k) for v, k in zip(value, known, strict=True))
    if isinstance(known, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(known)


def _usable(value: Any) -> bool:
    """Tell whether numbers are finite, and fit into what compiled code computes with."""
    if isinstance(value, list | tuple):
        return all(map(_usable, value))
    if isinstance(value, int):
        return abs(value) < 2**63
    return not isinstance(value, float) or math.isfinite(value)


def _typed(value: Any, known: Any) -> Any:
    """Give a value that is alike the very type of the one it takes the place of."""
    if isinstance(known, list):
        return tuple(_typed(v, k) for v, k in zip(value, known, strict=True))
    return type(known)(value)


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
