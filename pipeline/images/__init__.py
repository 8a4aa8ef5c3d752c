"""Image files: found, named, decoded to RGB."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dilo.pipeline.images.decoding import decode, decode_content, decode_reduced, read_file

__all__ = ["decode", "decode_content", "decode_reduced", "read_file"]


def __getattr__(name: str) -> object:
    """Import what this package gives when it is asked for: its other files need less."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dilo.pipeline.images import decoding

    return getattr(decoding, name)
