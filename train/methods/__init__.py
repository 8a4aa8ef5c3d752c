"""Methods by name: ours, and those that other installed packages register."""

from collections.abc import Callable, MutableMapping
from importlib.metadata import EntryPoint
from typing import Any

from dilo.pipeline.common.plugins import Plugins
from dilo.pipeline.errors import DiloError, RecipeError, near
from dilo.train.methods.base import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.recipes.recipe import Recipe

__all__ = [
    "GROUP",
    "METHODS",
    "Maker",
    "Method",
    "Methods",
    "StepOutput",
    "TrainingSet",
    "ViewBatch",
    "make_method",
]

#: The group of entry points under which a package registers methods.
GROUP = "dilo.methods"

#: Turns a recipe and its training set into a module that turns views into a loss.
Maker = Callable[[Recipe, TrainingSet], Method]


class Methods(Plugins[Maker], MutableMapping[str, Maker]):
    """Methods by name. One that a script sets is there for its process alone."""

    requirement = (
        "a class that derives from dilo.train.methods.Method, or a function that makes one"
    )

    def __setitem__(self, name: str, maker: Maker) -> None:
        self._builtin[name] = maker

    def __delitem__(self, name: str) -> None:
        del self._builtin[name]

    def is_valid(self, thing: Any) -> bool:
        """Tell whether a package registers a method.

        Parameters
        ----------
        thing : object
            What its entry point names.

        Returns
        -------
        bool
            Whether it is a method's class, or a function.
        """
        return issubclass(thing, Method) if isinstance(thing, type) else callable(thing)


_HERE = "dilo.train.methods"
METHODS = Methods(
    {
        name: EntryPoint(name, f"{_HERE}.{value}", GROUP)
        for name, value in {
            "cmc": "cmc:CMC",
            "instdisc": "instdisc:InstDisc",
            "moco": "moco:MoCo",
            "naive": "naive:Naive",
            "simclr": "simclr:SimCLR",
            "supervised": "supervised:Supervised",
        }.items()
    },
    GROUP,
)


def make_method(recipe: Recipe, data: TrainingSet) -> Method:
    """Make the method that a recipe names.

    Parameters
    ----------
    recipe : Recipe
        Of the run.
    data : TrainingSet
        Its images.

    Returns
    -------
    Method
        Untrained, on the CPU.

    Raises
    ------
    RecipeError
        If there is no such method, or the recipe does not suit it.
    DiloError
        If a package's method cannot be imported, or is none.
    """
    if recipe.method not in METHODS:
        raise RecipeError(
            f"method must be one of {', '.join(METHODS)}, got {recipe.method!r}: correct the "
            f"recipe, or install the package that registers it under {GROUP}"
            f"{near(recipe.method, METHODS)}"
        )
    method = METHODS[recipe.method](recipe, data)
    if not isinstance(method, Method):
        raise DiloError(
            f"method {recipe.method!r} must make a dilo.train.methods.Method, "
            f"got {type(method).__name__}"
        )
    return method
