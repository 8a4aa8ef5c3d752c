"""The request of `dilo-eval localize`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dilo.eval.attribution.maps import Attribution, ClassRule
from dilo.eval.common.machine import Machine
from dilo.pipeline.images.selection import ImageSelection


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to score, and where to put it."""

    #: Name and file, or run, of each classifier; names differ.
    classifiers: Sequence[tuple[str, Path]]
    #: Name and folder of maps made elsewhere.
    maps: Sequence[tuple[str, Path]]
    #: The images: a folder, or some of its images.
    images: Path | ImageSelection
    #: Folder of masks; this or boxes.
    truth: Path | None
    #: A CSV file or a folder of XML.
    boxes: Path | None
    #: How classifiers make maps.
    methods: Sequence[Attribution]
    #: Of which class; None takes the true one where the classifier knows it.
    rule: ClassRule | None
    #: Folder of the results; made if it is missing.
    out: Path
    #: Whether nobody named it, and it is in the folder of a run.
    of_run: bool = False
    #: What to call the result; None for the name of the images' folder.
    name: str | None = None
    #: Its size is the side of the squares; None takes the largest of the classifiers, or 224.
    machine: Machine
    #: Whether to skip images that lack truth or a map.
    allow_missing: bool
    #: Whether to draw the plot, which takes matplotlib.
    plots: bool
    #: Whether to draw the sheets.
    sheets: bool

    @property
    def selection(self) -> ImageSelection:
        """Return which images are scored."""
        return ImageSelection.of(self.images)

    @property
    def folder(self) -> Path:
        """Return the folder of the images."""
        return self.selection.root
