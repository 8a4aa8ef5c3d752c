"""Build a shard: read its images, make a row of each, publish them. The unit of work."""

import errno
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from isal import isal_zlib

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.finding import holds_anything
from dilo.pipeline.images import PASSING, read_file
from dilo.pipeline.kinds import maker_of
from dilo.pipeline.making import Maker, Making
from dilo.pipeline.names import unescaped
from dilo.pipeline.plan import Plan, names_once, shard_path
from dilo.pipeline.shards import read_tally, write_shard
from dilo.pipeline.workers import one_core

#: What the operating system says where a disk has gone, rather than a file.
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EHOSTDOWN}
#: So many images of a shard that cannot be read, though they are there, are the disk's fault.
DISK_ERRORS = 10


@dataclass(frozen=True)
class Outcome:
    """What a shard came to.

    Attributes
    ----------
    shard : int
        Its number.
    images : int
        Rows in it.
    failed : dict of str to str
        Path and reason of each image that could not be read.
    """

    shard: int
    images: int
    failed: dict[str, str]


@dataclass(frozen=True)
class Builder:
    """Builds the shards of a planned store, anywhere: calling it with a number is the task.

    Attributes
    ----------
    images : Path
        Folder that the store's paths are relative to.
    store : Path
        The store; its plan says the rest.
    given : Path, optional
        Ready masks, for a store that is made of them: a folder of PNGs, or a store.
    """

    images: Path
    store: Path
    given: Path | None = None

    def __call__(self, shard: int) -> Outcome:
        """Build one shard and publish it, unless somebody else has.

        Parameters
        ----------
        shard : int
            Number of the shard.

        Returns
        -------
        Outcome
            How many images it holds and which of them failed.

        Raises
        ------
        DiloError
            If the folder of images has gone.
        OSError
            If the disk does not take the shard.
        """
        return self.build(shard)

    def build(
        self,
        shard: int,
        *,
        begin: Callable[[int], None] = lambda row: None,
        broken: Mapping[int, str] | None = None,
    ) -> Outcome:
        """Build one shard as above, telling how far it is.

        Parameters
        ----------
        shard : int
            Number of the shard.
        begin : callable, optional
            Told each row before it is made.
        broken : mapping of int to str, optional
            Rows that must not be tried, and why.

        Returns
        -------
        Outcome
            As above.
        """
        plan = Plan.load(self.store)
        path = shard_path(self.store, shard)
        if path.exists():
            tally = read_tally(path, plan.fingerprint())
            return Outcome(shard, tally.images, tally.failed)
        making = self._begun(plan, shard)
        self._make(plan, making, making.todo, begin, broken or {})
        rows = making.rows
        write_shard(path, rows, plan.fingerprint())
        failed = {path: error for path, error in zip(rows.path, rows.error, strict=True) if error}
        return Outcome(shard, len(rows.path), failed)

    def places(self) -> dict[str, str]:
        """Name the folders, for a process that is told them in words.

        Returns
        -------
        dict of str to str
            Its arguments.
        """
        found = {"images": self.images, "store": self.store, "given": self.given}
        return {name: str(path) for name, path in found.items() if path is not None}

    @classmethod
    def at(cls, places: Mapping[str, str]) -> Self:
        """Be the builder that `places` was asked of.

        Parameters
        ----------
        places : mapping of str to str
            Its folders.

        Returns
        -------
        Builder
            An equal one.
        """
        given = places.get("given")
        return cls(Path(places["images"]), Path(places["store"]), Path(given) if given else None)

    def try_row(self, shard: int, row: int) -> None:
        """Make one row and throw it away: to see whether a process survives it.

        Parameters
        ----------
        shard : int
            Number of the shard.
        row : int
            Row in the shard.
        """
        plan = Plan.load(self.store)
        self._make(plan, self._begun(plan, shard), [row], lambda row: None, {})

    def _begun(self, plan: Plan, shard: int) -> Making:
        """Begin the rows of a shard."""
        names = names_once(self.store, plan.digest)
        make = _maker(self.store, plan.fingerprint(), self.given)
        images = plan.rows(shard)
        with one_core():
            return make(images, [names[i] for i in images])

    def _make(
        self,
        plan: Plan,
        making: Making,
        todo: Sequence[int],
        begin: Callable[[int], None],
        broken: Mapping[int, str],
    ) -> None:
        """Make some rows; that of an image that cannot be read gets a reason."""
        rows, failures = making.rows, 0
        with one_core():
            for row in todo:
                begin(row)
                path = unescaped(rows.path[row])
                rows.bytes[row] = 0  # until it is read
                try:
                    content = read_file(self.images / path)
                    rows.bytes[row] = len(content)
                    rows.file_crc32[row] = isal_zlib.crc32(content)
                    if row in broken:
                        rows.error[row] = broken[row]
                    else:
                        making.fill(row, content)
                except ImageError as error:
                    self._require_disk(path, error)
                    rows.error[row] = str(error)
                    failures += error.errno in PASSING
                    if failures == DISK_ERRORS:
                        raise DiloError(
                            f"{self.images}: {failures} images of one shard could not be read, "
                            f"{path!r} for: {error}: mend the disk; finished shards are kept, "
                            f"and the same command goes on"
                        ) from error
                except DiloError:  # not an image's fault, such as a disk of masks that is gone
                    raise
                # A method that stumbles over one image must not take the others with it.
                except Exception as error:
                    rows.error[row] = f"{plan.method} failed: {type(error).__name__}: {error}"

    def _require_disk(self, path: str, error: ImageError) -> None:
        """Stop where not an image but its whole folder has gone: a disk that is not mounted."""
        folder = (self.images / path).parent
        if error.errno not in _GONE or holds_anything(folder):
            return
        raise DiloError(
            f"{folder} must hold {path!r} of the store's list, got nothing there: is the disk "
            f"mounted? Finished shards are kept; give the same command to go on"
        )


@functools.lru_cache(maxsize=1)
def _maker(store: Path, fingerprint: str, given: Path | None) -> Maker:
    """Prepare what makes a row, once a process and plan."""
    return maker_of(store, Plan.load(store), given)
