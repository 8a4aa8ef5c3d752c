"""What decides a mask: a method, what refines its map, and their parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import near
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.method import Refinement
from dilo.pipeline.saliency.methods import METHODS, REFINEMENTS, AnyMethod
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.weights import weights_digest, weights_file

#: What the names of a refinement's parameters start with, among a method's.
_REFINE_PREFIX = "refine."
#: Side of a mask in pixels, unless it is asked for; that of a network's is its own.
SIZE = 224


@dataclass(frozen=True)
class MaskRecipe:
    """All that decides a mask but the image and the mask's size.

    Attributes
    ----------
    name : str
        The method's.
    method : Method or NetworkMethod
        With its parameters.
    refine : str or None
        The refinement's name.
    refinement : Refinement or None
        With its parameters.
    """

    name: str
    method: AnyMethod
    refine: str | None = None
    refinement: Refinement[Any] | None = None

    @classmethod
    def create(
        cls,
        method: str,
        refine: str | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        weights: str = "",
    ) -> Self:
        """Look a method and a refinement up, and change their parameters.

        Parameters
        ----------
        method : str
            A key of `METHODS`.
        refine : str, optional
            A key of `REFINEMENTS`.
        settings : mapping, optional
            Values for some of the method's parameters, and, as ``refine.NAME``, for the
            refinement's.
        weights : str, optional
            Of a network: digest of its file of weights, as `weights_digest` gives it.

        Returns
        -------
        MaskRecipe
            Ready to make masks; that of a network, to be opened.

        Raises
        ------
        ValueError
            If a name is unknown or a value does not fit, or weights are given to a method that
            has none.
        DiloError
            If the method of another package cannot be imported.
        """
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}, got {method!r}{near(method, METHODS)}"
            )
        if refine is not None and refine not in REFINEMENTS:
            raise ValueError(
                f"refine must be one of {', '.join(REFINEMENTS)}, got {refine!r}"
                f"{near(refine, REFINEMENTS)}"
            )
        method_settings = {
            name: v for name, v in (settings or {}).items() if not name.startswith(_REFINE_PREFIX)
        }
        refine_settings = {
            name[len(_REFINE_PREFIX) :]: v
            for name, v in (settings or {}).items()
            if name not in method_settings
        }
        if refine_settings and refine is None:
            raise ValueError(f"refine.{next(iter(refine_settings))} needs a refinement, got none")
        if weights:
            method_settings |= _weights_setting(method, method_settings, weights)
        return cls(
            method,
            METHODS[method].with_parameters(method_settings),
            refine,
            REFINEMENTS[refine].with_parameters(refine_settings) if refine is not None else None,
        )

    @classmethod
    def from_plan(cls, method: str, parameters: Mapping[str, Any]) -> Self:
        """Rebuild what `parameters` wrote down.

        Parameters
        ----------
        method : str
            The method's name.
        parameters : mapping
            As `parameters` gives them.

        Returns
        -------
        MaskRecipe
            Equal to the one they are of.

        Raises
        ------
        ValueError
            If this version knows no such method, or other parameters.
        """
        method_settings = {name: value for name, value in parameters.items() if name != "refine"}
        refine_settings = dict(parameters.get("refine", {}))
        refine = refine_settings.pop("method", None)
        settings = method_settings | {
            f"{_REFINE_PREFIX}{name}": value for name, value in refine_settings.items()
        }
        recipe = cls.create(method, refine, settings)
        if recipe.parameters() != parameters:
            missing = ", ".join(sorted(set(recipe.parameters()) - set(parameters)))
            raise ValueError(f"{method} must have a value for each parameter, got none: {missing}")
        return recipe

    def parameters(self) -> dict[str, Any]:
        """Return every number that decides a mask, for a store's plan.

        Returns
        -------
        dict
            The method's parameters, and under ``refine`` the refinement's and its name.
        """
        values = self.method.as_dict()
        if self.refinement is not None:
            values["refine"] = {"method": self.refine, **self.refinement.as_dict()}
        return values

    @property
    def side(self) -> int:
        """Return how large an image the method looks at.

        Returns
        -------
        int
            Side of the square, in pixels.
        """
        return int(self.method.parameters.side)

    @property
    def is_network(self) -> bool:
        """Check whether the method is a network, which takes weights.

        Returns
        -------
        bool
            Whether it is.
        """
        return isinstance(self.method, NetworkMethod)

    def mask_size(self, requested: int | None) -> int:
        """Return how large a mask is.

        Parameters
        ----------
        requested : int or None
            The side that is asked for.

        Returns
        -------
        int
            That, or else what a network makes, which is not resized then, or `SIZE`.
        """
        if requested is not None:
            return requested
        return self.side if self.is_network else SIZE

    def __call__(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Make the (size, size) mask of an (H, W, 3) image; see `saliency`."""
        if isinstance(self.method, NetworkMethod):
            raise ValueError(f"{self.name} is a network, and must be opened with its weights")
        squashed = squash(image, self.side)
        return self.to_mask(squashed, self.method(squashed), size)

    def to_mask(
        self, squashed: NDArray[np.uint8], saliency: NDArray[np.float64], size: int
    ) -> NDArray[np.uint8]:
        """Make a mask of a map.

        Parameters
        ----------
        squashed : ndarray of shape (side, side, 3), uint8
            The image, for the refinement.
        saliency : ndarray of shape (S, S), float64
            The method's map of it.
        size : int
            Side of the mask, in pixels.

        Returns
        -------
        ndarray of shape (size, size), uint8
            Refined, if the recipe says so, and rounded.

        Raises
        ------
        ValueError
            If it is no map of values from 0 to 1.
        """
        # Also false for NaN. A foreign method may err; what it gives must not pass for a mask.
        if (
            saliency.ndim != 2
            or len(set(saliency.shape)) > 1
            or not 0 <= saliency.min() <= saliency.max() <= 1
        ):
            raise ValueError(
                f"a map must be a square of values from 0 to 1, got {saliency.shape} from "
                f"{saliency.min()} to {saliency.max()}"
            )
        if self.refinement is not None:
            saliency = self.refinement(squash(squashed, len(saliency)), saliency)
        return squash(np.floor(255.0 * saliency + 0.5).astype(np.uint8), size)


def recipe_by_weights(
    method: str, refine: str | None, settings: Mapping[str, Any], weights: Path | None
) -> MaskRecipe:
    """Make a recipe, of a network by its weights.

    Parameters
    ----------
    method : str
        As `MaskRecipe.create` takes it.
    refine : str or None
        As `MaskRecipe.create` takes it.
    settings : mapping of str to Any
        As `MaskRecipe.create` takes them.
    weights : Path or None
        Of a network: its file of weights, or the run that trained it. What they decide is taken
        where `settings` say nothing else.

    Returns
    -------
    MaskRecipe
        Ready to make masks; that of a network, to be opened.

    Raises
    ------
    ValueError
        As of `MaskRecipe.create`.
    DiloError
        If there are no such weights, or none of this network.
    """
    if weights is None:
        return MaskRecipe.create(method, refine, settings)
    digest = weights_digest(weights_file(weights))
    network = METHODS.get(method)
    decided = network.decided_by(weights, settings) if isinstance(network, NetworkMethod) else {}
    return MaskRecipe.create(method, refine, {**decided, **settings}, weights=digest)


def _weights_setting(
    method: str, method_settings: Mapping[str, Any], weights: str
) -> dict[str, str]:
    """Make weights a parameter, of a method that has some and was not told them otherwise."""
    if not isinstance(METHODS[method], NetworkMethod):
        raise ValueError(f"weights belong to a method that is a network, got {method!r}")
    if "weights" in method_settings:
        raise ValueError("weights are given only by their file: omit weights=...")
    return {"weights": weights}
