"""Contrastive methods by name: a recipe to a module that turns two views into a loss."""

from collections.abc import Callable

from dilo.train.methods.base import Method
from dilo.train.methods.moco import MoCo
from dilo.train.recipe import Recipe

METHODS: dict[str, Callable[[Recipe], Method]] = {"moco": MoCo}
