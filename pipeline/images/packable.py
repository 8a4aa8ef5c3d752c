"""Images that only `dilo-prep pack` reads: Parquet, and the small sets in binary files.

Training draws images at random, and a row of Parquet costs its whole group of rows. So these are
read once, in order, and packed.
"""

from pathlib import Path

from dilo.pipeline.images.binarysets import BinarySource, find_binary_set
from dilo.pipeline.images.parquets import ParquetSource, find_parquet
from dilo.pipeline.images.source import ImageSource, open_images


def packable_kind(path: Path) -> str:
    """Name what a path is that only `dilo-prep pack` reads; an empty string for all else."""
    try:
        if find_parquet(path):
            return "Parquet"
        binary = find_binary_set(path)
    except OSError:  # whoever lists the folder says it
        return ""
    return "" if binary is None else f"{binary.title} in binary files"


def open_packable(path: Path, store: Path | None = None) -> ImageSource:
    """Open what `dilo-prep pack` reads: all that `open_images` opens, and more.

    Raises `DiloError` for what is neither.
    """
    if not packable_kind(path):
        return open_images(path, store)
    if files := find_parquet(path):
        return ParquetSource(path, files)
    if (binary := find_binary_set(path)) is not None:
        return BinarySource(path, binary)
    return open_images(path, store)
