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


def run_shards(
    work: Work[Result],
    shards: Iterable[int],
    *,
    jobs: int,
    backend: str = "loky",
    scheduler: str | None = None,
    isolated: Work[Result] | None = None,
) -> Generator[Result, None, None]:
    """Run some shards in parallel and yield what each came to, as soon as it is done.

    `work` goes to the workers, so it must pickle; only outcomes travel back. `isolated` does a
    shard whose worker died, in such a way that another death ends neither it nor the caller;
    without it, a death is an error. To close the generator ends the workers.
    """
    if scheduler and backend not in ("dask", "ray"):
        raise DiloError(f"--scheduler is for --backend dask or ray, got backend {backend}")
    if backend == "loky":
        yield from _run_in_processes(work, shards, joblib.effective_n_jobs(jobs), isolated)
    elif backend == "threading":
        yield from _run_in_threads(work, shards, joblib.effective_n_jobs(jobs))
    elif backend == "dask":
        yield from on_dask(work, shards, scheduler, isolated or _raise_worker_died)
    else:
        yield from on_ray(
            work, shards, scheduler, joblib.effective_n_jobs(jobs), isolated or _raise_worker_died
        )


def _run_in_threads(work: Work[Result], shards: Iterable[int], workers: int) -> Iterator[Result]:
    """Run shards in threads; a stop waits for those that are under way, as no thread can be killed.

    joblib's would still be in HDF5 when the interpreter ends, and crash it.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(work, shard) for shard in shards]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_in_processes(
    work: Work[Result], shards: Iterable[int], workers: int, isolated: Work[Result] | None
) -> Iterator[Result]:
    """Run shards in processes of this machine, and those that may have killed one, one by one."""
    waiting = deque(shards)
    while waiting:
        unfinished: list[int] = []
        with _pool(min(workers, len(waiting))) as pool:
            yield from _run_until_crash(pool, work, waiting, SHARDS_AHEAD * workers, unfinished)
        if not unfinished:
            continue
        if isolated is None:
            raise _worker_died()
        unfinished.sort()
        # Shards are begun in order, so that the worker that died was at one of the first.
        waiting.extendleft(reversed(unfinished[workers:]))
        crashed: list[int] = []
        yield from _run_one_process_each(work, unfinished[:workers], crashed)
        for shard in crashed:
            yield isolated(shard)


def _run_until_crash(
    pool: ProcessPoolExecutor,
    work: Work[Result],
    waiting: deque[int],
    ahead: int,
    unfinished: list[int],
) -> Iterator[Result]:
    """Run what waits, in order; if a worker dies, list what was handed out and is not done."""
    running: dict[Future[Result], int] = {}
    while (waiting and not unfinished) or running:
        while waiting and not unfinished and len(running) < ahead:
            shard = waiting.popleft()
            try:
                running[pool.submit(work, shard)] = shard
            except BrokenProcessPool:
                unfinished.append(shard)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in [future for future in running if future in done]:
            shard = running.pop(future)
            if isinstance(future.exception(), BrokenProcessPool):
                unfinished.append(shard)
            else:
                yield future.result()


def _run_one_process_each(
    work: Work[Result], shards: list[int], crashed: list[int]
) -> Iterator[Result]:
    """Run each shard in a process that does nothing else, and list those that killed theirs."""
    with contextlib.ExitStack() as stack:
        running = {stack.enter_context(_pool(1)).submit(work, shard): shard for shard in shards}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                shard = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    crashed.append(shard)
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
    """Refuse to do a shard in isolation, where the caller gave no way to."""
    raise _worker_died()


def _worker_died() -> DiloError:
    """Make the error of a worker that died, where nothing can be done about it here."""
    return DiloError(
        "a worker process died, most often out of memory: finished work is kept; "
        "run the same command again, with fewer --workers if it dies again"
    )
