"""Which PNG is the mask of which image, in a folder of PNGs that a store becomes or comes from."""

import os
import posixpath
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.names import Names


def ambiguous_names(names: Names) -> NDArray[np.int64]:
    """Find the images whose PNG must keep their extension, for others would have it too.

    Of a/b.jpg and a/b.png neither may become a/b.png, nor of a/b and a/b.jpg, nor a.jpg
    where a folder is called a.png. Each name is kept as two numbers meanwhile.
    """
    hashes = np.empty((2, len(names)), np.int64)
    folders: set[str] = set()  # those that a PNG could be mistaken for
    for position, name in enumerate(names):
        hashes[:, position] = hash(stem(name)), hash(name)
        folder = posixpath.dirname(name)
        while ".png" in folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    stem_hashes, name_hashes = hashes
    distinct, counts = np.unique(stem_hashes, return_counts=True)
    suspicious = np.isin(stem_hashes, distinct[counts > 1]) | np.isin(stem_hashes, name_hashes)
    # Equal hashes are a suspicion; the names decide.
    suspects = np.flatnonzero(suspicious).tolist()
    uses = Counter(stem(names[i]) for i in suspects)
    uses.update(names[i] for i in np.flatnonzero(np.isin(name_hashes, stem_hashes)).tolist())
    ambiguous = {i for i in suspects if uses[stem(names[i])] > 1}
    if folders:
        ambiguous |= {i for i, name in enumerate(names) if f"{stem(name)}.png" in folders}
    for i in ambiguous:
        if f"{names[i]}.png" in folders:
            raise StoreError(f"{names[i]!r} must become {names[i]}.png, got a folder of that name")
    return np.array(sorted(ambiguous), np.int64)


def stem(name: str) -> str:
    """Return an image's path without its extension."""
    return posixpath.splitext(name)[0]


def write_png(target: Path, pixels: NDArray[np.uint8], part: Path) -> None:
    """Write a PNG to `part` on the same disk and rename it; an error names the `target`.

    OpenCV's takes half the time of Pillow's.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        part.replace(target)
    except OSError as error:  # a full disk's has no name
        raise OSError(error.errno, error.strerror, os.fspath(target)) from error
