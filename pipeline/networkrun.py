"""How a network runs: its file, its device, its batches. Nothing here decides a mask."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import joblib

#: Threads that keep a GPU fed, at most: more of them wait for each other.
MOST_WORKERS = 16
#: Images that a device takes at once, unless it is said. A core is as fast with one as with more.
BATCHES = {"cpu": 1, "cuda": 32}


@dataclass(frozen=True)
class NetworkRun:
    """How the network of a store runs.

    Attributes
    ----------
    weights : Path
        Its file of weights.
    device : {"cpu", "cuda"}
        Where it computes; on GPUs, each process takes one of its own.
    batch : int or None
        Images at a time; unless given, what `BATCHES` says.
    workers : int or None
        Threads that read images and finish masks; unless given, one on a CPU, and for a GPU
        its process's share of the cores.
    processes : int
        So many share the cores.
    """

    weights: Path
    device: str = "cpu"
    batch: int | None = None
    workers: int | None = None
    processes: int = 1

    @property
    def images(self) -> int:
        """Tell how many images the device takes at once.

        Returns
        -------
        int
            From 1.
        """
        return self.batch or BATCHES[self.device]

    @property
    def threads(self) -> int:
        """Tell how many threads work beside the device, on the machine that asks.

        Returns
        -------
        int
            From 1.
        """
        if self.workers:
            return self.workers
        if self.device == "cpu":
            return 1
        share: int = joblib.cpu_count() // self.processes
        return max(1, min(MOST_WORKERS, share))

    def words(self) -> dict[str, str]:
        """Say it to a process that is told it in words.

        Returns
        -------
        dict of str to str
            Names and values, of those that were given.
        """
        return {name: str(value) for name, value in vars(self).items() if value is not None}

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Self:
        """Be the one whose `words` these are.

        Parameters
        ----------
        words : mapping of str to str
            Names and values.

        Returns
        -------
        NetworkRun
            An equal one.
        """
        given = {name: int(words[name]) for name in ("batch", "workers") if name in words}
        weights, device = Path(words["weights"]), words["device"]
        return cls(weights, device, processes=int(words["processes"]), **given)
