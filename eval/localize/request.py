"""What `dilo-eval localize` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dilo.eval.attribution.maps import Attribution, ClassRule


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to score, and where to put it.

    Attributes
    ----------
    classifiers : sequence of (str, Path)
        Name and file, or run, of each classifier; names differ.
    maps : sequence of (str, Path)
        Name and folder of maps made elsewhere.
    images : Path
        Folder of the images.
    truth, boxes : Path or None
        Folder of masks, or a CSV file or a folder of XML; one of both.
    methods : sequence of {"gradient", "cam"}
        How classifiers make maps.
    rule : {"true", "predicted"} or None
        Of which class; None takes the true one where the classifier knows it.
    size : int or None
        Side of the squares; None takes the largest that a classifier was trained on, or 224.
    arch : str or None
        Name of the network, where files are silent.
    out : Path
        Folder of the results; made if it is missing.
    of_run : bool
        Whether nobody named it, and it is in the folder of a run.
    batch, workers : int
        Images at once; processes that score.
    device : {"auto", "cpu", "cuda"}
        Where networks run.
    allow_missing : bool
        Whether to leave out images that lack truth or a map.
    plots, sheets : bool
        Whether to draw the plot, which takes matplotlib, and the sheets.
    """

    classifiers: Sequence[tuple[str, Path]]
    maps: Sequence[tuple[str, Path]]
    images: Path
    truth: Path | None
    boxes: Path | None
    methods: Sequence[Attribution]
    rule: ClassRule | None
    size: int | None
    arch: str | None
    out: Path
    of_run: bool = False
    batch: int
    workers: int
    device: str
    allow_missing: bool
    plots: bool
    sheets: bool
