"""Methods by name: a recipe and its training set to a module that turns views into a loss."""

from collections.abc import Callable

from dilo.train.method import Method, TrainingSet
from dilo.train.methods.moco import MoCo
from dilo.train.recipe import Recipe

METHODS: dict[str, Callable[[Recipe, TrainingSet], Method]] = {"moco": MoCo}
