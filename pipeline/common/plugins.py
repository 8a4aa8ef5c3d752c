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
    ours : mapping
        What dilo brings; an entry point stands for what is to be imported on use.
    group : str, optional
        The group of entry points that adds to them.

    Attributes
    ----------
    rule : str
        What each must be, in words that follow "must be".
    """

    requirement: ClassVar[str]

    def __init__(self, ours: Mapping[str, T | EntryPoint], group: str = "") -> None:
        self._ours, self._group = dict(ours), group

    @abstractmethod
    def is_valid(self, thing: Any) -> bool:
        """Tell whether what a package registers keeps the rule."""

    def __getitem__(self, name: str) -> T:
        if name not in self._ours:
            return self._load(self._foreign()[name])
        found = self._ours[name]
        return cast(T, found.load()) if isinstance(found, EntryPoint) else found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({**self._ours, **self._foreign()}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._ours or name in self._foreign()

    def _foreign(self) -> dict[str, EntryPoint]:
        """Find what packages register; of two that take one name, dilo's own."""
        found = entry_points(group=self._group) if self._group else ()
        return {point.name: point for point in sorted(found, key=_is_dilos)}

    def _load(self, point: EntryPoint) -> T:
        """Import what is foreign; whatever goes wrong is said with the package's name."""
        package = point.dist.name if point.dist else point.value
        try:
            thing = point.load()
        except Exception as error:
            raise DiloError(
                f"method {point.name!r} of {package} cannot be imported: "
                f"{type(error).__name__}: {error}: mend or uninstall {package}"
            ) from error
        if not self.is_valid(thing):
            raise DiloError(
                f"method {point.name!r} of {package} must be {self.requirement}, "
                f"got {type(thing).__name__}"
            )
        return cast(T, thing)


def _is_dilos(point: EntryPoint) -> bool:
    """Tell whether dilo itself registers it."""
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
