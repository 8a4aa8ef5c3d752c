"""Who computes: this machine's cores, a Dask or Ray cluster, or a share of a batch array."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dilo.pipeline.errors import DiloError

Result = TypeVar("Result")

#: Where batch systems say which task of an array this is, and the number they start from.
_TASK_VARIABLES = {
    "SLURM_ARRAY_TASK_ID": 0,
    "PBS_ARRAY_INDEX": 0,
    "LSB_JOBINDEX": 1,
    "SGE_TASK_ID": 1,
    "JOB_COMPLETION_INDEX": 0,
}
#: Shards a worker, in one round of a backend that cannot stream its results.
ROUNDS = 4
#: LSF and SGE set their variable outside an array too.
_NO_TASK = {("LSB_JOBINDEX", "0"), ("SGE_TASK_ID", "undefined")}


@dataclass(frozen=True)
class Task:
    """One of several processes that share a store.

    Attributes
    ----------
    index : int
        Which one, from 0.
    count : int
        How many there are.
    """

    index: int
    count: int

    def share(self, shards: Sequence[int]) -> list[int]:
        """Pick this task's shards; the shares of all tasks are disjoint and make up the whole.

        Parameters
        ----------
        shards : sequence of int
            Numbers of the shards to do.

        Returns
        -------
        list of int
            Those whose number is this task's, modulo the number of tasks.
        """
        return [shard for shard in shards if shard % self.count == self.index]


def find_task(
    count: int | None, index: int | None, environment: Mapping[str, str] = os.environ
) -> Task | None:
    """Tell which share of the work is this process's.

    Parameters
    ----------
    count : int, optional
        --num-tasks.
    index : int, optional
        --task-id, from 0. Without it, the variables of Slurm, PBS, LSF, SGE and
        Kubernetes' indexed jobs are asked, if `count` is given.
    environment : mapping, optional
        Variables to ask.

    Returns
    -------
    Task or None
        None where there is neither option nor array: this process does everything.

    Raises
    ------
    DiloError
        If the numbers do not make a share.
    """
    if count is None:
        if index is not None:
            raise DiloError(f"--task-id {index} must come with --num-tasks, got none")
        return None
    if index is None:
        index = _index_from(environment)
    if index is None:
        names = ", ".join(_TASK_VARIABLES)
        raise DiloError(
            f"--num-tasks {count} needs --task-id, or one of {names} in the environment"
        )
    if not 0 <= index < count:
        raise DiloError(
            f"--task-id must be from 0 to --num-tasks - 1 = {count - 1}, got {index}: "
            f"number the array from 0, or give --task-id yourself"
        )
    return Task(index, count)


def _index_from(environment: Mapping[str, str]) -> int | None:
    """Read the array variables; arrays that start at 1 are counted from 0."""
    for variable, first in _TASK_VARIABLES.items():
        value = environment.get(variable)
        if value is None or (variable, value) in _NO_TASK:
            continue
        if not value.isdecimal():
            raise DiloError(f"{variable} must be a number, got {value!r}: give --task-id")
        return int(value) - first
    return None


def run(
    work: Callable[[int], Result],
    shards: Iterable[int],
    *,
    jobs: int,
    backend: str = "loky",
    scheduler: str | None = None,
) -> Iterator[Result]:
    """Do some shards in parallel and yield what each came to, as soon as it is done.

    Parameters
    ----------
    work : callable
        From a shard's number to its outcome. It goes to the workers, so it must pickle;
        shards are computed and published there, and only outcomes travel.
    shards : iterable of int
        Their numbers.
    jobs : int
        Workers, as joblib counts them: -1 is one a core.
    backend : {"loky", "threading", "dask", "ray"}
        joblib's backend.
    scheduler : str, optional
        Address of the Dask scheduler or the Ray cluster.

    Yields
    ------
    Result
        In the order of completion.

    Raises
    ------
    DiloError
        If a worker dies or the backend cannot start.
    """
    with _engine(backend, scheduler, jobs) as parallel:
        calls = [joblib.delayed(work)(shard) for shard in shards]
        try:
            if parallel.return_generator:
                yield from parallel(calls)
                return
            # Ray's backend hands results over only when all are there: a round at a time,
            # so that progress shows and a stop loses little.
            rounds = ROUNDS * joblib.effective_n_jobs(parallel.n_jobs)
            for first in range(0, len(calls), rounds):
                yield from parallel(calls[first : first + rounds])
        except TerminatedWorkerError as error:
            raise DiloError(
                "a worker process died, most often for want of memory: finished shards are "
                "kept; run the same command again, with fewer --jobs if it dies again"
            ) from error


@contextlib.contextmanager
def _engine(backend: str, scheduler: str | None, jobs: int) -> Iterator[joblib.Parallel]:
    """Start what the backend needs and give joblib's front to it."""
    if scheduler and backend not in ("dask", "ray"):
        raise DiloError(f"--scheduler is for --backend dask or ray, got backend {backend}")
    stream = {"return_as": "generator_unordered", "batch_size": 1}
    if backend == "dask":
        if not scheduler:
            raise DiloError("--backend dask needs --scheduler ADDRESS, got none")
        distributed = _extra("distributed", "dask")
        try:
            client = distributed.Client(scheduler, timeout="30s")
        except (OSError, ValueError, TimeoutError) as error:
            raise DiloError(f"--scheduler {scheduler}: cannot connect: {error}") from error
        with client, joblib.parallel_config("dask"):
            yield joblib.Parallel(n_jobs=-1, **stream)
    elif backend == "ray":
        ray = _extra("ray", "ray")
        try:
            ray.init(address=scheduler, ignore_reinit_error=True)
        except (ConnectionError, ValueError) as error:
            raise DiloError(f"--scheduler {scheduler}: cannot connect: {error}") from error
        _extra("ray.util.joblib", "ray").register_ray()
        with joblib.parallel_config("ray"):
            yield joblib.Parallel(n_jobs=jobs)
    else:
        yield joblib.Parallel(n_jobs=jobs, backend=backend, **stream)


def _extra(module: str, extra: str) -> Any:
    """Import what only some users install."""
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        raise DiloError(f"--backend {extra} needs: pip install 'dilo[{extra}]'") from error
