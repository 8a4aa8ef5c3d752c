"""Who computes: this machine's cores, or a Dask or Ray cluster. No death of a worker ends it."""

import contextlib
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from multiprocessing import resource_tracker as standard_tracker
from typing import NoReturn, TypeVar

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from dilo.pipeline.compute.clusters import on_dask, on_ray
from dilo.pipeline.compute.worker import (
    ignore_hangup,
    safe_interpreters,
    start_worker,
    worker_environment,
)
from dilo.pipeline.errors import DiloError

Result = TypeVar("Result")
Work = Callable[[int], Result]

#: Shards handed out ahead, a worker: enough that none waits for the parent.
SHARDS_AHEAD = 2


def run(
    work: Work[Result],
    shards: Iterable[int],
    *,
    jobs: int,
    backend: str = "loky",
    scheduler: str | None = None,
    apart: Work[Result] | None = None,
) -> Generator[Result, None, None]:
    """Do some shards in parallel and yield what each came to, as soon as it is done."""
    if scheduler and backend not in ("dask", "ray"):
        raise DiloError(f"--scheduler is for --backend dask or ray, got backend {backend}")
    if backend == "loky":
        yield from _processes(work, shards, joblib.effective_n_jobs(jobs), apart)
    elif backend == "threading":
        yield from _threads(work, shards, joblib.effective_n_jobs(jobs))
    elif backend == "dask":
        yield from on_dask(work, shards, scheduler, apart or _raise_worker_died)
    else:
        yield from on_ray(
            work, shards, scheduler, joblib.effective_n_jobs(jobs), apart or _raise_worker_died
        )


def _threads(work: Work[Result], shards: Iterable[int], workers: int) -> Iterator[Result]:
    """Do shards in threads; a stop waits for those that are under way, for no thread can be killed.

    joblib's would still be in HDF5 when the interpreter ends, and crash it.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(work, shard) for shard in shards]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _processes(
    work: Work[Result], shards: Iterable[int], workers: int, apart: Work[Result] | None
) -> Iterator[Result]:
    """Do shards in processes of this machine, and those that may have killed one, one by one."""
    waiting = deque(shards)
    while waiting:
        lost: list[int] = []
        with _pool(min(workers, len(waiting))) as pool:
            yield from _run_until_crash(pool, work, waiting, SHARDS_AHEAD * workers, lost)
        if not lost:
            continue
        if apart is None:
            raise _worker_died()
        lost.sort()
        # Shards are begun in order, so that the worker that died was at one of the first.
        waiting.extendleft(reversed(lost[workers:]))
        deadly: list[int] = []
        yield from _run_one_process_each(work, lost[:workers], deadly)
        for shard in deadly:
            yield apart(shard)


def _run_until_crash(
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


def _run_one_process_each(
    work: Work[Result], shards: list[int], deadly: list[int]
) -> Iterator[Result]:
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
    # Its helpers shield themselves from the other signals only, and take no environment.
    with ignore_hangup(), safe_interpreters():
        resource_tracker.ensure_running()
        standard_tracker.ensure_running()
    pool = ProcessPoolExecutor(
        workers, env=worker_environment(), initializer=start_worker, initargs=(os.getpid(),)
    )
    try:
        yield pool
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(wait=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kill the workers of a pool, which its manager then takes for broken.

    loky's own `kill_workers` has a race with what was submitted last, and a traceback for it.
    """
    for process in list(pool._processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    if pool._executor_manager_thread is not None:
        pool._executor_manager_thread.join(timeout=10)


def _raise_worker_died(shard: int) -> NoReturn:
    """Stand for a shard that must not be done apart."""
    raise _worker_died()


def _worker_died() -> DiloError:
    """Say that a worker died, where nothing can be done about it here."""
    return DiloError(
        "a worker process died, most often for want of memory: what is finished is kept; "
        "run the same command again, with fewer --jobs if it dies again"
    )
