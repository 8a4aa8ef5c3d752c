"""Stores: folders of shards, planned, written, read and checked."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dilo.pipeline.store.maskstore import MaskStore

__all__ = ["MaskStore"]


def __getattr__(name: str) -> object:
    """Import what this package gives when it is asked for: its other files need less."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dilo.pipeline.store import maskstore

    return getattr(maskstore, name)
