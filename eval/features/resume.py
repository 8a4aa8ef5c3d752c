"""Features of a folder into a file, a part at a time: killed at any point, it goes on."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch

from dilo.eval.features.extraction import Block, computed
from dilo.eval.features.features import Features, features_of, require_readable
from dilo.eval.features.file import JoinedRows, open_features, write_features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import Origin
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


class FeatureJob:
    """The features of a folder, on their way into a file.

    Parts lie in a hidden folder beside the file, each a file of features itself, under the
    digest of all that its rows follow from: parts of other weights, sizes or images have other
    names, and are never taken.

    Parameters
    ----------
    encoder : Encoder
        The trunk.
    folder : LabelledFolder
        The images.
    path : Path
        The file. One that is there is replaced, once the new one is whole. A folder stands for a
        file in it that is named for the digest.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        In what the trunk computes.
    part : int, default 10000
        Images of a part.

    Raises
    ------
    DiloError
        If something else than features lies at `path`.

    Attributes
    ----------
    path : Path
        The file.
    images : int
        All of the folder.
    kept : int
        Those that an earlier run has done: all of them where the file itself is there.
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
        self._origin = Origin.of(encoder, precision)
        self._listed = folder.names.digest()
        self.images = len(folder.names)
        self.path = path / f"{folder.root.resolve().name}-{self.digest[:16]}.h5"
        if not path.is_dir():
            self.path = path
        _require_replaceable(self.path)
        starts = range(0, self.images, part)
        self._parts = [range(first, min(first + part, self.images)) for first in starts]
        self._done = self._is_ours(self.path)
        self._missing = [] if self._done else self._missing_parts()
        self.kept = self.images - sum(map(len, self._missing))

    @property
    def digest(self) -> str:
        """Digest all that the rows follow from, but for the bytes of the images.

        Returns
        -------
        str
            SHA-256, as 64 hexadecimal digits.
        """
        folder = str(self._folder.root.resolve())
        what = [self._origin.digest(), self._listed, folder, self._folder.classes]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def run(
        self,
        *,
        batch: int = 256,
        workers: int = 0,
        device: torch.device | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Features:
        """Compute what is missing, and put the file together.

        Parameters
        ----------
        batch : int, default 256
            Images that the trunk sees at once.
        workers : int, default 0
            Processes that decode; 0 decodes in this one.
        device : torch.device, optional
            Where the trunk runs; the CPU by default.
        progress : callable, optional
            Called after each batch with the number of images done since the last call.

        Returns
        -------
        Features
            Of the file.

        Raises
        ------
        CheckpointError
            If a feature is not finite.
        DiloError
            If no image could be read.
        OSError
            If the disk does not take it; whole parts are kept.
        """
        for attempt in range(ATTEMPTS):
            if self._done:
                break
            self._compute(batch, workers, device, progress)
            try:
                write_features(self.path, self._joined())
                self._done = True
            except (DiloError, OSError):
                # Another command that makes the same features ends by clearing the parts away.
                self._done = self._is_ours(self.path)
                self._missing = [] if self._done else self._missing_parts()
                if not self._done and (not self._missing or attempt == ATTEMPTS - 1):
                    raise
        self._clear()
        if not self._is_ours(self.path):
            raise DiloError(
                f"{self.path} must hold what this command wrote, but another command replaced it "
                "meanwhile: give each an --out of its own, and this command again"
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
        blocks = computed(
            self._encoder,
            self._folder,
            batches,
            workers=workers,
            device=device,
            precision=self._precision,
        )
        for part in self._missing:
            self._write_part(part, blocks, progress)

    def _clear(self) -> None:
        """Remove the parts of these features; those of another command are its own."""
        for part in self._hidden.glob(f"{self.digest[:32]}-*.h5"):
            part.unlink(missing_ok=True)
        with suppress(OSError):  # parts of others lie there, or there is no such folder
            self._hidden.rmdir()

    @property
    def _hidden(self) -> Path:
        """Name the folder of the parts, which other commands on this file have theirs in too."""
        return self.path.with_name(f".{self.path.name}.parts")

    def _part_path(self, part: range) -> Path:
        """Name the file of a part."""
        return self._hidden / f"{self.digest[:32]}-{part.start:08d}-{part.stop:08d}.h5"

    def _missing_parts(self) -> list[range]:
        """Find out which parts are not there, or not whole."""
        return [part for part in self._parts if not self._is_ours(self._part_path(part))]

    def _is_ours(self, path: Path) -> bool:
        """Tell whether a file is there, whole, and of these weights and images."""
        if not path.is_file():
            return False
        try:
            found = open_features(path)
        except AccessError:  # it may be sound, so it is not made again in its place
            raise
        except DiloError:
            return False
        theirs = found.origin.same(), found.listed, found.root.resolve(), found.classes
        folder = self._folder
        return theirs == (self._origin.same(), self._listed, folder.root.resolve(), folder.classes)

    def _write_part(
        self, part: range, blocks: Iterator[Block], progress: Callable[[int], object] | None
    ) -> None:
        """Take the blocks of a part as they come, and publish it."""
        positions: list[int] = []
        vectors: list[torch.Tensor] = []
        failures: list[tuple[int, str]] = []
        while len(positions) + len(failures) < len(part):
            block = next(blocks)
            if block.positions:
                vectors.append(block.vectors)
            positions += block.positions
            failures += block.failures
            if progress is not None:
                progress(len(block.positions) + len(block.failures))
        rows = torch.cat(vectors) if vectors else torch.empty(0, 0)
        found = features_of(self._folder, positions, rows, failures, self._origin)
        for attempt in range(ATTEMPTS):
            try:
                self._hidden.mkdir(exist_ok=True)
                write_features(self._part_path(part), found)
                return
            except FileNotFoundError:  # another command removed the folder, for it was empty
                if attempt == ATTEMPTS - 1:
                    raise

    def _joined(self) -> Features:
        """Put the parts one after the other."""
        parts = [open_features(self._part_path(part)) for part in self._parts]
        found = Features(
            self._folder.root,
            JoinedRows([part.vectors for part in parts]),
            torch.cat([part.labels for part in parts]),
            self._folder.classes,
            Names(name for part in parts for name in part.paths),
            tuple(pair for part in parts for pair in part.unreadable),
            self._listed,
            self._origin,
        )
        require_readable(found)
        return found
