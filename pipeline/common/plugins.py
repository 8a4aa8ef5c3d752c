"""Things by name: those that dilo brings, and those that other installed packages register."""

import importlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, TypeVar, cast

from dilo.pipeline.errors import DiloError

T = TypeVar("T")


class Plugins(Mapping[str, T], Generic[T]):
    """Methods by name. A name of ours is never taken from us; foreign code is imported on use.

    Parameters
    ----------
    builtin : mapping
        What dilo brings; an entry point stands for what is to be imported on use.
    group : str, optional
        The group of entry points that adds to them.

    Attributes
    ----------
    requirement : str
        What each must be, in words that follow "must be".
    """

    requirement: ClassVar[str]

    def __init__(self, builtin: Mapping[str, T | EntryPoint], group: str = "") -> None:
        self._builtin, self._group = dict(builtin), group

    @abstractmethod
    def is_valid(self, plugin: Any) -> bool:
        """Check whether what a package registers meets the requirement."""

    def __getitem__(self, name: str) -> T:
        if name not in self._builtin:
            return self._load(self._external()[name])
        plugin = self._builtin[name]
        return cast(T, plugin.load()) if isinstance(plugin, EntryPoint) else plugin

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({**self._builtin, **self._external()}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._external()

    def _external(self) -> dict[str, EntryPoint]:
        """Find what packages register; of two that take one name, dilo's own."""
        points = entry_points(group=self._group) if self._group else ()
        return {point.name: point for point in sorted(points, key=_is_dilos)}

    def _load(self, point: EntryPoint) -> T:
        """Import what is foreign; whatever goes wrong is said with the package's name."""
        package = point.dist.name if point.dist else point.value
        try:
            plugin = point.load()
        except Exception as error:
            raise DiloError(
                f"method {point.name!r} of {package} cannot be imported: "
                f"{type(error).__name__}: {error}: fix or uninstall {package}"
            ) from error
        if not self.is_valid(plugin):
            raise DiloError(
                f"method {point.name!r} of {package} must be {self.requirement}, "
                f"got {type(plugin).__name__}"
            )
        return cast(T, plugin)


def _is_dilos(point: EntryPoint) -> bool:
    """Check whether dilo itself registers it."""
    return point.dist is not None and point.dist.name == "dilo"


@dataclass(frozen=True)
class LazyFunction:
    """A function that is imported when it is first called."""

    #: Where it is.
    module: str
    #: What it is called there.
    name: str

    def __call__(self, *arguments: Any) -> Any:
        """Import the function, and call it."""
        return getattr(importlib.import_module(self.module), self.name)(*arguments)
