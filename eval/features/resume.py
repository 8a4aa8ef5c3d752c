"""Features of a folder into a file, a part at a time: interrupted at any point, it resumes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from dilo.eval.features.extraction import FeatureBatch, extract_batches
from dilo.eval.features.features import Features, require_rows
from dilo.eval.features.file import JoinedRows, open_features, write_features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import FeatureSource
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.files import remove_leftovers
from dilo.pipeline.errors import AccessError, DiloError
from dilo.pipeline.images.names import Names
from dilo.train.runtime.devices import Precision

#: Images of a part: what a kill costs at most, and what stands in memory.
PART = 10_000


#: Times that a step is tried, which another command on the same file may undo.
ATTEMPTS = 5


#: How a file of HDF5 begins.
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def _require_replaceable(path: Path) -> None:
    """Refuse to put features in the place of a file that is no HDF5."""
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(len(SIGNATURE))
        if begin not in (b"", SIGNATURE):
            raise DiloError(
                f"--out {path} must be a new file, or one of features to be replaced, got "
                "something else, which would be lost: give another name"
            )


class ResumableExtraction:
    """The features of a folder, on their way into a file.

    Parts lie in a hidden folder beside the file, each a file of features itself, under the
    digest of all that its rows follow from: parts of other weights, sizes or images have other
    names, and are never taken.

    Parameters
    ----------
    encoder : Encoder
        The backbone.
    folder : LabelledFolder
        The images.
    path : Path
        The file. One that is there is replaced, once the new one is whole. A folder stands for a
        file in it that is named for the digest.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        In what the backbone computes.
    part : int, default 10000
        Images of a part.

    Raises
    ------
    DiloError
        If something else than features lies at `path`.
    """

    def __init__(
        self,
        encoder: Encoder,
        folder: LabelledFolder,
        path: Path,
        *,
        precision: Precision = "fp32",
        part: int = PART,
    ) -> None:
        self._encoder, self._folder, self._precision = encoder, folder, precision
        self._source = FeatureSource.of(encoder, precision)
        self._key = _key(self._source, folder.digest, folder.root, folder.classes)
        #: All images of the folder.
        self.images = len(folder.names)
        #: The file.
        self.path = path / f"{folder.root.resolve().name}-{self._key[:16]}.h5"
        if not path.is_dir():
            self.path = path
        _require_replaceable(self.path)
        starts = range(0, self.images, part)
        self._parts = [range(first, min(first + part, self.images)) for first in starts]
        self._complete = self._is_ours(self.path)
        self._missing = [] if self._complete else self._missing_parts()
        #: Images that an earlier run has done: all of them where the file itself is there.
        self.done = self.images - sum(map(len, self._missing))

    def run(
        self,
        *,
        batch: int = 256,
        workers: int = 0,
        device: torch.device | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Features:
        """Compute what is missing, put the file together, and open it.

        The options are those of `extract_features`. Whole parts stay if the disk does not take
        the rest, or a feature is not finite.
        """
        for attempt in range(ATTEMPTS):
            if self._complete:
                break
            self._compute(batch, workers, device, progress)
            try:
                write_features(self.path, self._joined())
                self._complete = True
            except (DiloError, OSError):
                # Another command that makes the same features ends by clearing the parts away.
                self._complete = self._is_ours(self.path)
                self._missing = [] if self._complete else self._missing_parts()
                if not self._complete and (not self._missing or attempt == ATTEMPTS - 1):
                    raise
        self._clear()
        if not self._is_ours(self.path):
            raise DiloError(
                f"{self.path} must hold what this command wrote, but another command replaced it "
                "meanwhile: give each its own --out, and run this command again"
            )
        return open_features(self.path)

    def _compute(
        self,
        batch: int,
        workers: int,
        device: torch.device | None,
        progress: Callable[[int], object] | None,
    ) -> None:
        """Make the parts that are missing."""
        self._hidden.mkdir(exist_ok=True)
        remove_leftovers(self._hidden)
        batches = [
            [*part[first : first + batch]]
            for part in self._missing
            for first in range(0, len(part), batch)
        ]
        features = extract_batches(
            self._encoder,
            self._folder,
            batches,
            workers=workers,
            device=device,
            precision=self._precision,
        )
        for part in self._missing:
            self._write_part(part, features, progress)

    def _clear(self) -> None:
        """Remove the parts of these features; those of another command are its own."""
        for part in self._hidden.glob(f"{self._key[:32]}-*.h5"):
            part.unlink(missing_ok=True)
        with suppress(OSError):  # parts of others lie there, or there is no such folder
            self._hidden.rmdir()

    @property
    def _hidden(self) -> Path:
        """Name the folder of the parts, which other commands on this file have theirs in too."""
        return self.path.with_name(f".{self.path.name}.parts")

    def _part_path(self, part: range) -> Path:
        """Name the file of a part."""
        return self._hidden / f"{self._key[:32]}-{part.start:08d}-{part.stop:08d}.h5"

    def _missing_parts(self) -> list[range]:
        """Find out which parts are not there, or not whole."""
        return [part for part in self._parts if not self._is_ours(self._part_path(part))]

    def _is_ours(self, path: Path) -> bool:
        """Tell whether a file is there, whole, and of these weights and images."""
        if not path.is_file():
            return False
        try:
            features = open_features(path)
        except AccessError:  # it may be sound, so it is not made again in its place
            raise
        except DiloError:
            return False
        return self._key == _key(features.source, features.digest, features.root, features.classes)

    def _write_part(
        self,
        part: range,
        batches: Iterator[FeatureBatch],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Take the batches of a part as they come, and publish it."""
        positions: list[int] = []
        vectors: list[torch.Tensor] = []
        failures: list[tuple[int, str]] = []
        while len(positions) + len(failures) < len(part):
            batch = next(batches)
            if batch.positions:
                vectors.append(batch.vectors)
            positions += batch.positions
            failures += batch.failures
            if progress is not None:
                progress(len(batch.positions) + len(batch.failures))
        rows = torch.cat(vectors) if vectors else torch.empty(0, 0)
        features = Features.from_rows(self._folder, positions, rows, failures, self._source)
        for attempt in range(ATTEMPTS):
            try:
                self._hidden.mkdir(exist_ok=True)
                write_features(self._part_path(part), features)
                return
            except FileNotFoundError:  # another command removed the folder, for it was empty
                if attempt == ATTEMPTS - 1:
                    raise

    def _joined(self) -> Features:
        """Put the parts one after the other."""
        parts = [open_features(self._part_path(part)) for part in self._parts]
        features = Features(
            self._folder.root,
            JoinedRows([part.vectors for part in parts]),
            torch.cat([part.labels for part in parts]),
            self._folder.classes,
            Names(name for part in parts for name in part.paths),
            tuple(pair for part in parts for pair in part.unreadable),
            self._folder.digest,
            self._source,
            self._folder.options,
        )
        require_rows(features)
        return features


def _key(source: FeatureSource, digest: str, root: Path, classes: Sequence[str]) -> str:
    """Digest all that rows follow from: the weights, how they look, and which images."""
    content = [source.comparable_fields(), digest, str(root.resolve()), list(classes)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
