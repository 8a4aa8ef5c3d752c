"""A folder of maps: a gray PNG for each image and method, as masks are read."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.eval.attribution.heatmaps import gray
from dilo.eval.attribution.maps import Attribution
from dilo.eval.gradients.viewer import Viewer
from dilo.pipeline.common.files import remove_leftovers, temporary_name, write_text
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.masks.pngs import ambiguous_names, stem, write_png
from dilo.train.data.evaluation import EvalImages, collate, squashed
from dilo.train.data.loader import in_order, make_loader, read_through

#: The file that says what made the maps.
MARK = "maps.json"


@dataclass(frozen=True)
class Mapped:
    """What a folder of maps came to.

    Attributes
    ----------
    written, kept : int
        Images whose maps were made, and whose maps were there.
    unreadable : tuple of (str, str)
        Relative path of each image without maps, and why.
    """

    written: int
    kept: int
    unreadable: tuple[tuple[str, str], ...]


def write_maps(
    viewer: Viewer,
    out: Path,
    methods: Sequence[Attribution],
    *,
    batch: int = 32,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Mapped:
    """Write the maps of all images of a folder, squashed to squares as masks are.

    Each file is written beside and renamed, so that it is whole or not there; what is there
    already is kept, if the same classifier made it.

    Parameters
    ----------
    viewer : Viewer
        The classifier and the images.
    out : Path
        Where ``METHOD/RELATIVE/PATH.png`` go; made if it is missing.
    methods : sequence of {"gradient", "cam"}
        Which maps.
    batch : int, default 32
        Images that the network sees at once.
    workers : int, default 0
        Processes that decode; 0 decodes in this one.
    progress : callable, optional
        Called with the number of images done since the last call.

    Returns
    -------
    Mapped
        How many there are, and which images could not be read.

    Raises
    ------
    DiloError
        If the folder holds something else.
    CheckpointError
        If a score is not finite, or the network has no map for a method.
    """
    _claim(out, viewer)
    names = viewer.folder.names
    whole = set(ambiguous_names(names).tolist())
    files = [f"{name if i in whole else stem(name)}.png" for i, name in enumerate(names)]
    todo = [
        i for i, file in enumerate(files) if not all((out / m / file).exists() for m in methods)
    ]
    kept, written = len(names) - len(todo), 0
    if progress is not None and kept:
        progress(kept)
    crops = EvalImages(viewer.folder.root, Names(names[i] for i in todo), _size(viewer), squashed)
    unreadable: list[tuple[str, str]] = []
    part = temporary_name(out / "map.png")
    batches = in_order(range(len(crops)), batch)
    loading: Any = make_loader(
        crops, batches, workers=workers, pin=False, collate_fn=collate, prefetch_factor=2
    )
    try:
        with contextlib.closing(read_through(loading)) as arriving:
            for places, pixels, failures in arriving:
                rows = [todo[place] for place in places]
                for row, seen in zip(rows, viewer.see(pixels, rows, methods), strict=True):
                    for method, values in seen.maps.items():
                        write_png(out / method / files[row], gray(values), part)
                written += len(rows)
                unreadable += [(escaped(names[todo[place]]), reason) for place, reason in failures]
                if progress is not None:
                    progress(len(rows) + len(failures))
    finally:
        part.unlink(missing_ok=True)
    return Mapped(written, kept, tuple(unreadable))


def _size(viewer: Viewer) -> int:
    """Give the side of the maps."""
    return viewer.classifier.encoder.size


def _claim(out: Path, viewer: Viewer) -> None:
    """Mark a fresh folder with what makes its maps, or compare the mark that is there."""
    with viewer.classifier.encoder.source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    mark = {"classifier": digest, "class": viewer.which, "size": _size(viewer)}
    path = out / MARK
    out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        if any(not file.name.startswith(".") for file in out.iterdir()):
            raise DiloError(f"--maps {out} must be empty or hold maps, got files but no {MARK}")
        write_text(path, json.dumps(mark) + "\n")
    try:
        found = read_json(path)
        others = [key for key, value in mark.items() if found.get(key) != value]
    except (ValueError, AttributeError):  # no JSON, or none of ours
        others = list(mark)
    if others:
        raise DiloError(
            f"--maps {out} must hold maps of this command, got another {' and '.join(others)} in "
            f"{MARK}: give a fresh folder"
        )
    remove_leftovers(out)
