"""Who computes: shares of an array, and the same results from every engine."""

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.errors import DiloError
from dilo.pipeline.jobs import Task, find_task, run


def square(number):
    return number * number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@given(st.integers(1, 20), st.sets(st.integers(0, 200)))
def test_the_shares_of_all_tasks_are_the_whole(count, shards):
    shares = [Task(index, count).share(sorted(shards)) for index in range(count)]
    assert sorted(shard for share in shares for shard in share) == sorted(shards)


@pytest.mark.parametrize(
    ("environment", "index"),
    [
        ({"SLURM_ARRAY_TASK_ID": "3"}, 3),
        ({"PBS_ARRAY_INDEX": "0"}, 0),
        ({"LSB_JOBINDEX": "1"}, 0),
        ({"LSB_JOBINDEX": "0", "JOB_COMPLETION_INDEX": "2"}, 2),
        ({"SGE_TASK_ID": "4"}, 3),
        ({"SGE_TASK_ID": "undefined", "JOB_COMPLETION_INDEX": "1"}, 1),
    ],
)
def test_the_batch_system_says_which_task_this_is(environment, index):
    assert find_task(4, None, environment) == Task(index, 4)


def test_an_option_comes_before_the_environment_and_neither_means_all():
    assert find_task(4, 1, {"SLURM_ARRAY_TASK_ID": "3"}) == Task(1, 4)
    assert find_task(None, None, {"SLURM_ARRAY_TASK_ID": "3"}) is None


@pytest.mark.parametrize(
    ("count", "index", "environment", "message"),
    [
        (None, 1, {}, "must come with --num-tasks"),
        (4, None, {}, "needs --task-id, or one of SLURM_ARRAY_TASK_ID"),
        (4, 4, {}, "from 0 to --num-tasks - 1 = 3, got 4"),
        (4, None, {"SGE_TASK_ID": "0"}, "got -1"),
        (4, None, {"PBS_ARRAY_INDEX": "x"}, "PBS_ARRAY_INDEX must be a number, got 'x'"),
    ],
)
def test_numbers_that_make_no_share_are_refused(count, index, environment, message):
    with pytest.raises(DiloError, match=message):
        find_task(count, index, environment)


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
