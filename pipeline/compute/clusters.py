"""Shards on a Dask or Ray cluster: numbers go there, outcomes come back, by each one's own door.

Not by joblib's backends for them. Those count the workers once, at the start: with one, they
compute in this process, and workers that come later get nothing. Dask's waits for ever for a
task that it gave up, and Ray's hands nothing over until all is done.
"""

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from dilo.pipeline.errors import DiloError

Result = TypeVar("Result")
Work = Callable[[int], Result]


def on_dask(
    work: Work[Result], shards: Iterable[int], scheduler: str | None, isolated: Work[Result]
) -> Iterator[Result]:
    """Run shards on a Dask cluster that runs; yield each outcome as soon as it is there.

    `isolated` does a shard that Dask gave up, as several workers died of it; or raises.
    """
    if not scheduler:
        raise DiloError("--backend dask needs --scheduler ADDRESS, got none")
    distributed = _extra("distributed", "dask")
    # What it would say of a lost scheduler, with a traceback, the error below says.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(scheduler, timeout="30s")
    except (OSError, ValueError, TimeoutError) as error:
        raise DiloError(f"--scheduler {scheduler}: cannot connect: {error}") from error
    with client:
        _require_dilo(client)
        running = {client.submit(work, shard, pure=False): shard for shard in shards}
        completed = distributed.as_completed(running)
        for future in completed:
            shard = running.pop(future)
            try:
                yield future.result()
            except distributed.KilledWorker:
                retry = client.submit(isolated, shard, pure=False)
                running[retry] = shard
                completed.add(retry)
            except CancelledError as error:
                raise DiloError(
                    f"--scheduler {scheduler}: lost: finished work is kept; "
                    f"run the same command again when it is back"
                ) from error


def on_ray(
    work: Work[Result],
    shards: Iterable[int],
    scheduler: str | None,
    jobs: int,
    isolated: Work[Result],
) -> Iterator[Result]:
    """Run shards on a Ray cluster that runs, or on one started here where no address is given.

    `isolated` does a shard that Ray gave up, as its worker died; or raises. `jobs` is how many
    workers to start here.
    """
    ray = _extra("ray", "ray")
    cores = {} if scheduler else {"num_cpus": jobs}
    try:
        ray.init(address=scheduler, ignore_reinit_error=True, **cores)
    except (ConnectionError, ValueError) as error:
        raise DiloError(f"--scheduler {scheduler}: cannot connect: {error}") from error
    task = ray.remote(_call)
    running = {task.remote(work, shard): shard for shard in shards}
    while running:
        (future,), _ = ray.wait(list(running))
        shard = running.pop(future)
        try:
            yield ray.get(future)
        except ray.exceptions.RayTaskError as error:  # the work raised: its own error, in words
            raise error.cause from None
        except ray.exceptions.RayError:
            running[task.remote(isolated, shard)] = shard


def _call(work: Work[Result], shard: int) -> Result:
    """Run a shard: Ray takes functions, and the work is a bound method or a partial one."""
    return work(shard)


def _require_dilo(client: Any) -> None:
    """Refuse workers without dilo: they would end one by one, and Dask wait for others for ever."""
    try:
        client.submit(importlib.import_module, __name__, pure=False).result()
    except ImportError as error:
        raise DiloError(
            f"Dask's workers must have dilo, in this version, got {error}: install it there"
        ) from error


def _extra(module: str, extra: str) -> Any:
    """Import what only some users install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DiloError(f"--backend {extra} needs: pip install 'dilo[{extra}]'") from error
