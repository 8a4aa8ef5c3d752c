"""Saliency methods by name: ours, and those that other installed packages register."""

import dataclasses
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.plugins import Plugins
from dilo.pipeline.saliency.parameters import Parameters

#: The group of entry points under which a package registers methods.
GROUP = "dilo.saliency"

P = TypeVar("P")
M = TypeVar("M", bound=Parameters)


@dataclass(frozen=True)
class Step(Generic[P]):
    """A part of the way to a mask: its parameters, and the function they are given to.

    Attributes
    ----------
    parameters : P
        Every number that decides what comes out: a frozen dataclass of numbers, strings,
        booleans and tuples of numbers.
    function : callable
        What is computed; the parameters are its last argument.
    """

    parameters: P
    function: Callable[..., NDArray[np.float64]]

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
                raise ValueError(f"{name} must be one of {', '.join(known)}, got no such parameter")
            if not _alike(value, known[name]):
                raise ValueError(f"{name} must be like {known[name]!r}, got {value!r}")
        typed = {name: _typed(value, known[name]) for name, value in values.items()}
        return dataclasses.replace(
            self, parameters=dataclasses.replace(cast("Any", self.parameters), **typed)
        )


class Method(Step[M]):
    """A saliency method.

    Its function takes a square RGB image of shape (side, side, 3), uint8, of the side that
    the parameters say, and gives saliency of shape (S, S), float64 in [0, 1], of any side S.
    """

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Run the method with its parameters on a square RGB image."""
        return self.function(image, self.parameters)


class Refinement(Step[P]):
    """What can be done to the map of any method.

    Its function takes a square RGB image of shape (S, S, 3), uint8, and its map of shape
    (S, S), float64, and gives a better map.
    """

    def __call__(
        self, image: NDArray[np.uint8], saliency: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Refine a map with the parameters."""
        return self.function(image, saliency, self.parameters)


def _alike(value: Any, known: Any) -> bool:
    """Tell whether a value can take the place of another; a whole number serves for any."""
    if isinstance(known, list):
        same = isinstance(value, list | tuple) and len(value) == len(known)
        return same and all(_alike(v, k) for v, k in zip(value, known, strict=True))
    if isinstance(known, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(known)


def _typed(value: Any, known: Any) -> Any:
    """Give a value that is alike the very type of the one it takes the place of."""
    if isinstance(known, list):
        return tuple(_typed(v, k) for v, k in zip(value, known, strict=True))
    return type(known)(value)


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


class Registry(Plugins[Method[Any]]):
    """Methods by name: ours, and those that other packages register."""

    rule = "a dilo.pipeline.saliency.Method whose parameters derive from Parameters"

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
        return isinstance(thing, Method) and isinstance(thing.parameters, Parameters)
