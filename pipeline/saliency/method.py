"""What a saliency method is, and a refinement: parameters, which a plan keeps, and a function."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.plain import Misfit, convert, kind_of
from dilo.pipeline.errors import near
from dilo.pipeline.saliency.parameters import Parameters

P = TypeVar("P")

#: What numbers must stay below to fit into what compiled code computes with.
_MAX_NUMBER = 2**63


@dataclass(frozen=True)
class Configurable(Generic[P]):
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

    def as_dict(self) -> dict[str, Any]:
        """Return every parameter, as JSON gives them back.

        Returns
        -------
        dict
            Names and values: numbers, strings, booleans and lists.
        """
        values: dict[str, Any] = json.loads(
            json.dumps(dataclasses.asdict(cast("Any", self.parameters)))
        )
        return values

    def with_parameters(self, values: Mapping[str, Any]) -> Self:
        """Copy this with other parameters.

        Parameters
        ----------
        values : mapping
            Names and new values, of the types that `as_dict` gives.

        Returns
        -------
        Configurable
            Of the same class, with these values.

        Raises
        ------
        ValueError
            If a name is unknown, or a value is not of its parameter's type or out of range.
        """
        current, converted = self.as_dict(), dict[str, Any]()
        for name, value in values.items():
            if name not in current:
                raise ValueError(
                    f"{name} must be one of {', '.join(current)}, got no such parameter"
                    f"{near(name, current)}"
                )
            try:
                converted[name] = convert(kind_of(current[name]), value, _MAX_NUMBER)
            except Misfit as error:
                rule = "finite and below 2**63" if error.too_large else f"like {current[name]!r}"
                raise ValueError(f"{name} must be {rule}, got {value!r}") from error
        return dataclasses.replace(
            self, parameters=dataclasses.replace(cast("Any", self.parameters), **converted)
        )


M = TypeVar("M", bound=Parameters)


class Method(Configurable[M]):
    """A saliency method.

    Its function takes a square RGB image of shape (side, side, 3), uint8, of the side that
    the parameters say, and gives saliency of shape (S, S), float64 in [0, 1], of any side S.
    """

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Run the method with its parameters on a square RGB image."""
        saliency: NDArray[np.float64] = self.function(image, self.parameters)
        return saliency


class Refinement(Configurable[P]):
    """What can be done to the map of any method.

    Its function takes a square RGB image of shape (S, S, 3), uint8, and its map of shape
    (S, S), float64, and gives a better map.
    """

    def __call__(
        self, image: NDArray[np.uint8], saliency: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Refine a map with the parameters."""
        refined: NDArray[np.float64] = self.function(image, saliency, self.parameters)
        return refined
