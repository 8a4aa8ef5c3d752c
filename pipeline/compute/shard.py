"""Build a shard: read its images, make a row of each, publish them. The unit of work."""

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dilo.pipeline.compute.batches import Pace, make_batched
from dilo.pipeline.compute.failures import Attempts
from dilo.pipeline.compute.kinds import maker_of
from dilo.pipeline.compute.work import Maker, Making
from dilo.pipeline.compute.worker import one_core
from dilo.pipeline.masks.network import NetworkRun
from dilo.pipeline.store.layouts import layout_of
from dilo.pipeline.store.plan import Plan, names_once, shard_path
from dilo.pipeline.store.shardfile import read_tally, write_shard


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
    pace : Pace or None
        How fast a network made them here; None for other methods, and for a shard that was there.
    """

    shard: int
    images: int
    failed: dict[str, str]
    pace: Pace | None = field(default=None, compare=False)


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
    network : NetworkRun, optional
        How the network runs, for a store that one makes.
    """

    images: Path
    store: Path
    given: Path | None = None
    network: NetworkRun | None = None

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
        begin: Callable[[int], None] | None = None,
        broken: Mapping[int, str] | None = None,
    ) -> Outcome:
        """Build one shard as above, telling how far it is.

        Parameters
        ----------
        shard : int
            Number of the shard.
        begin : callable, optional
            Told each row before it is made; they are made one by one then.
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
            tally = read_tally(path, plan.fingerprint(), layout_of(plan, shard))
            return Outcome(shard, tally.images, tally.failed)
        making = self._begun(plan, shard)
        names = names_once(self.store, plan.digest)
        attempts = Attempts(self.images, plan.method, making.rows, broken or {}, names)
        with one_core():
            pace = make(making, attempts, begin)
        attempts.require_access()
        rows = making.rows
        write_shard(path, rows, plan.fingerprint())
        failed = {path: error for path, error in zip(rows.path, rows.error, strict=True) if error}
        return Outcome(shard, len(rows.path), failed, pace)

    def places(self) -> dict[str, str]:
        """Say all of it, to a process that is told it in words.

        Returns
        -------
        dict of str to str
            Its arguments.
        """
        found = {"images": self.images, "store": self.store, "given": self.given}
        places = {name: str(path) for name, path in found.items() if path is not None}
        return places | (self.network.words() if self.network is not None else {})

    @classmethod
    def at(cls, places: Mapping[str, str]) -> Self:
        """Be the builder that `places` was asked of.

        Parameters
        ----------
        places : mapping of str to str
            Its words.

        Returns
        -------
        Builder
            An equal one.
        """
        given = places.get("given")
        return cls(
            Path(places["images"]),
            Path(places["store"]),
            Path(given) if given else None,
            NetworkRun.of(places) if "weights" in places else None,
        )

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
        making = self._begun(plan, shard)
        one = Making(making.rows, [row], making.fill)
        with one_core():
            make(one, Attempts(self.images, plan.method, making.rows))

    def _begun(self, plan: Plan, shard: int) -> Making:
        """Begin the rows of a shard."""
        names = names_once(self.store, plan.digest)
        with one_core():
            with _PREPARING:  # of several threads, one opens a network
                begin = _maker(self.store, plan.fingerprint(), self.given, self.network)
            images = plan.rows(shard)
            return begin(images, [names[i] for i in images])


def make(
    making: Making, attempts: Attempts, begin: Callable[[int], None] | None = None
) -> Pace | None:
    """Make the rows that are to do, in batches where they can be; see `one_core`.

    Parameters
    ----------
    making : Making
        Which, and how.
    attempts : Attempts
        What becomes of those that fail.
    begin : callable, optional
        Told each row before it is made; they are made one by one then.

    Returns
    -------
    Pace or None
        How fast batches were; None without them.

    Raises
    ------
    DiloError
        If no image is at fault.
    """
    if making.batching is not None and begin is None:
        return make_batched(attempts, making.batching, making.todo)
    for row in making.todo:
        if begin is not None:
            begin(row)
        content = attempts.content(row)
        if content is not None:
            attempts.part(row, making.fill, row, content)
    return None


_PREPARING = threading.Lock()


@functools.lru_cache(maxsize=1)
def _maker(store: Path, fingerprint: str, given: Path | None, network: NetworkRun | None) -> Maker:
    """Prepare what makes a row, once a process and plan."""
    return maker_of(store, Plan.load(store), given, network)
