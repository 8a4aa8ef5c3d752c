"""Who computes: this machine's cores, or a Dask or Ray cluster. No death of a worker ends it."""

import contextlib
import importlib
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from dilo.pipeline.errors import DiloError
from dilo.pipeline.workers import THREAD_LIMITS, shielded, shielding

Result = TypeVar("Result")
Work = Callable[[int], Result]

#: How joblib hands results over as they come, one task at a time.
STREAM: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
#: Shards a worker, in one round of a backend that cannot stream its results.
ROUNDS = 4
#: Shards handed out ahead, a worker: enough that none waits for the parent.
AHEAD = 2


def run(
    work: Work[Result],
    shards: Iterable[int],
    *,
    jobs: int,
    backend: str = "loky",
    scheduler: str | None = None,
    apart: Work[Result] | None = None,
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
        loky: processes of this machine. The others are joblib's.
    scheduler : str, optional
        Address of the Dask scheduler or the Ray cluster.
    apart : callable, optional
        Does a shard whose worker died, in such a way that another death ends neither it
        nor the caller. Without it, a death is an error.

    Yields
    ------
    Result
        In the order of completion.

    Raises
    ------
    DiloError
        If a worker dies and `apart` is not given, or the backend cannot start.
    """
    if scheduler and backend not in ("dask", "ray"):
        raise DiloError(f"--scheduler is for --backend dask or ray, got backend {backend}")
    if backend == "loky":
        yield from _processes(work, shards, joblib.effective_n_jobs(jobs), apart)
    elif backend == "threading":
        parallel = joblib.Parallel(n_jobs=jobs, backend="threading", **STREAM)
        for _, result in _calls(parallel, work, shards):
            yield result
    else:
        yield from _cluster(work, shards, jobs, backend, scheduler, apart)


def _processes(
    work: Work[Result], shards: Iterable[int], workers: int, apart: Work[Result] | None
) -> Iterator[Result]:
    """Do shards in processes of this machine, and those that may have killed one, one by one."""
    waiting = deque(shards)
    while waiting:
        lost: list[int] = []
        with _pool(min(workers, len(waiting))) as pool:
            yield from _until_a_death(pool, work, waiting, AHEAD * workers, lost)
        if not lost:
            continue
        if apart is None:
            raise _death()
        lost.sort()
        # Shards are begun in order, so that the worker that died was at one of the first.
        waiting.extendleft(reversed(lost[workers:]))
        deadly: list[int] = []
        yield from _each_in_its_own(work, lost[:workers], deadly)
        for shard in deadly:
            yield apart(shard)


def _until_a_death(
    pool: ProcessPoolExecutor, work: Work[Result], waiting: deque[int], ahead: int, lost: list[int]
) -> Iterator[Result]:
    """Do what waits, in order; if a worker dies, list what was handed out and is not done."""
    running: dict[Future[Result], int] = {}
    while (waiting and not lost) or running:
        while waiting and not lost and len(running) < ahead:
            shard = waiting.popleft()
            try:
                running[pool.submit(work, shard)] = shard
            except BrokenProcessPool:
                lost.append(shard)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in [future for future in running if future in done]:
            shard = running.pop(future)
            if isinstance(future.exception(), BrokenProcessPool):
                lost.append(shard)
            else:
                yield future.result()


def _each_in_its_own(work: Work[Result], shards: list[int], deadly: list[int]) -> Iterator[Result]:
    """Do each shard in a process that does nothing else, and list those that killed theirs."""
    with contextlib.ExitStack() as stack:
        running = {stack.enter_context(_pool(1)).submit(work, shard): shard for shard in shards}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                shard = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    deadly.append(shard)
                else:
                    yield future.result()


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end with the block, at once if it ends early.

    loky starts a fresh process in place of one whose memory has grown, and says so in a
    warning that only frightens.
    """
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    with shielding():  # its helper shields itself from the other signals only
        resource_tracker.ensure_running()
    pool = ProcessPoolExecutor(workers, env=THREAD_LIMITS, initializer=shielded)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise
    pool.shutdown(wait=True)


def _cluster(
    work: Work[Result],
    shards: Iterable[int],
    jobs: int,
    backend: str,
    scheduler: str | None,
    apart: Work[Result] | None,
) -> Iterator[Result]:
    """Do shards on a cluster; once that has given one up, the rest with every death caught."""
    left = dict.fromkeys(shards)
    engine = _dask(scheduler) if backend == "dask" else _ray(scheduler, jobs)
    with engine as (parallel, deaths):
        try:
            for shard, result in _calls(parallel, work, left):
                del left[shard]
                yield result
        except deaths as error:
            if apart is None:
                raise _death() from error
            for _, result in _calls(parallel, apart, left):
                yield result


def _calls(
    parallel: joblib.Parallel, work: Work[Result], shards: Iterable[int]
) -> Iterator[tuple[int, Result]]:
    """Do shards by joblib, and say which of them each result is of."""
    calls = [joblib.delayed(_tagged)(work, shard) for shard in shards]
    if parallel.return_generator:
        yield from parallel(calls)
        return
    # Ray's backend hands results over only when all are there: a round at a time, so that
    # progress shows and a stop loses little.
    rounds = ROUNDS * joblib.effective_n_jobs(parallel.n_jobs)
    for first in range(0, len(calls), rounds):
        yield from parallel(calls[first : first + rounds])


def _tagged(work: Work[Result], shard: int) -> tuple[int, Result]:
    """Do a shard, and say which."""
    return shard, work(shard)


Engine = tuple[joblib.Parallel, tuple[type[BaseException], ...]]


@contextlib.contextmanager
def _dask(scheduler: str | None) -> Iterator[Engine]:
    """Connect to a Dask cluster; it gives up a task that several workers died of."""
    if not scheduler:
        raise DiloError("--backend dask needs --scheduler ADDRESS, got none")
    distributed = _extra("distributed", "dask")
    try:
        client = distributed.Client(scheduler, timeout="30s")
    except (OSError, ValueError, TimeoutError) as error:
        raise DiloError(f"--scheduler {scheduler}: cannot connect: {error}") from error
    with client, joblib.parallel_config("dask"):
        yield joblib.Parallel(n_jobs=-1, **STREAM), (distributed.KilledWorker,)


@contextlib.contextmanager
def _ray(scheduler: str | None, jobs: int) -> Iterator[Engine]:
    """Connect to a Ray cluster, or start one here."""
    ray = _extra("ray", "ray")
    try:
        ray.init(address=scheduler, ignore_reinit_error=True)
    except (ConnectionError, ValueError) as error:
        raise DiloError(f"--scheduler {scheduler}: cannot connect: {error}") from error
    _extra("ray.util.joblib", "ray").register_ray()
    with joblib.parallel_config("ray"):
        yield joblib.Parallel(n_jobs=jobs), (ray.exceptions.RayError,)


def _extra(module: str, extra: str) -> Any:
    """Import what only some users install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DiloError(f"--backend {extra} needs: pip install 'dilo[{extra}]'") from error


def _death() -> DiloError:
    """Say that a worker died, where nothing can be done about it here."""
    return DiloError(
        "a worker process died, most often for want of memory: what is finished is kept; "
        "run the same command again, with fewer --jobs if it dies again"
    )
