"""Images that only `dilo-prep pack` reads: Parquet, and the small sets in binary files.

Training draws images at random, and a row of Parquet costs its whole group of rows. So these are
read once, in order, and packed.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dilo.pipeline.images.binarysets import BinarySource, find_binary_set
from dilo.pipeline.images.parquets import ParquetSource, find_parquet
from dilo.pipeline.images.source import ImageSource


@dataclass(frozen=True)
class Packable:
    """What a path is that only `dilo-prep pack` reads."""

    #: In words.
    kind: str
    #: Opens it, or refuses it with a `DiloError`.
    open: Callable[[], ImageSource]


def find_packable(path: Path) -> Packable | None:
    """Recognize what only `dilo-prep pack` reads; None for all else."""
    try:
        if files := find_parquet(path):
            return Packable("Parquet", functools.partial(ParquetSource, path, files))
        binary = find_binary_set(path)
    except OSError:  # whoever lists the folder says it
        return None
    if binary is None:
        return None
    source = functools.partial(BinarySource, path, binary)
    return Packable(f"{binary.title} in binary files", source)
