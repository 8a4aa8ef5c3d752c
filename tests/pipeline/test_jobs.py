"""Who computes: the same results from every engine."""

import os
import signal

import pytest

from dilo.pipeline.errors import DiloError
from dilo.pipeline.jobs import run


def square(number):
    return number * number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("backend", "jobs"), [("loky", 1), ("loky", 2), ("threading", 2), ("threading", -1)]
)
def test_every_engine_does_every_shard_once(backend, jobs):
    assert sorted(run(square, range(20), jobs=jobs, backend=backend)) == [n * n for n in range(20)]


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_worker_that_dies_is_an_error_in_words():
    with pytest.raises(DiloError, match=r"worker process died.*run the same command again"):
        list(run(die, range(4), jobs=2))


def test_a_scheduler_belongs_to_a_cluster():
    with pytest.raises(DiloError, match="--scheduler is for --backend dask or ray"):
        list(run(square, [1], jobs=1, scheduler="tcp://127.0.0.1:1"))
    with pytest.raises(DiloError, match="--backend dask needs --scheduler"):
        list(run(square, [1], jobs=1, backend="dask"))
