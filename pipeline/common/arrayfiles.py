"""Files of named arrays, an index of something larger: published whole, and read with suspicion."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.files import atomic_write

#: What reading a file raises that is missing or damaged, and what whoever reads arrays from it may
#: raise where they are not what they should be.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], texts: Mapping[str, bytes]
) -> None:
    """Publish arrays, and texts as arrays of bytes, as one file."""
    content = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, **content, **arrays)  # type: ignore[arg-type]  # its option comes by name


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read all arrays of a file, of which none is unpickled; what goes wrong is `UNREADABLE`."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        return dict(content)
