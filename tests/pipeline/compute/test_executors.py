"""Who computes: the same results from every engine."""

import os
import signal
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from dilo.pipeline.compute.executors import run_shards
from dilo.pipeline.errors import DiloError


def square(number):
    return number * number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("backend", "jobs"), [("loky", 1), ("loky", 2), ("threading", 2), ("threading", -1)]
)
def test_every_engine_does_every_shard_once(backend, jobs):
    assert sorted(run_shards(square, range(20), jobs=jobs, backend=backend)) == [
        n * n for n in range(20)
    ]


_KEPT = []


def leak(number):
    _KEPT.append(np.ones(200 << 20, np.uint8))
    time.sleep(0.6)
    return os.getpid()


def test_a_worker_whose_memory_grows_is_replaced():
    assert len(set(run_shards(leak, range(5), jobs=1))) > 1


def die_on_seven_in_company(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def negative(number):
    return -number


def test_a_shard_that_kills_its_worker_is_done_apart_and_the_others_as_ever():
    done = run_shards(die_on_seven_in_company, range(20), jobs=2, isolated=negative)
    assert sorted(done) == [-7, *(number for number in range(20) if number != 7)]


def refuse(number):
    if number == 3:
        raise DiloError("no room")
    return number


def test_an_error_in_words_ends_the_run_and_reaches_the_caller():
    with pytest.raises(DiloError, match="no room"):
        list(run_shards(refuse, range(20), jobs=2))


def threads(number):
    return [pool["num_threads"] for pool in threadpool_info()], os.environ["OPENBLAS_NUM_THREADS"]


def test_a_worker_keeps_to_one_thread():
    ((counts, said),) = run_shards(threads, [0], jobs=2)
    assert set(counts) <= {1}
    assert said == "1"


def test_a_worker_that_dies_is_an_error_in_words():
    with pytest.raises(DiloError, match=r"worker process died.*run the same command again"):
        list(run_shards(die, range(4), jobs=2))


def test_a_scheduler_belongs_to_a_cluster():
    with pytest.raises(DiloError, match="--scheduler is for --backend dask or ray"):
        list(run_shards(square, [1], jobs=1, scheduler="tcp://127.0.0.1:1"))
    with pytest.raises(DiloError, match="--backend dask needs --scheduler"):
        list(run_shards(square, [1], jobs=1, backend="dask"))
