"""Shares of an array: what batch systems say, and what makes no share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.compute.arrays import ArrayTask, array_warning, current_task, tasks_of
from dilo.pipeline.errors import DiloError


def slurm(index, first, last, step, count):
    names = ("ID", "MIN", "MAX", "STEP", "COUNT")
    values = (index, first, last, step, count)
    return {f"SLURM_ARRAY_TASK_{n}": str(v) for n, v in zip(names, values, strict=True)}


def lsf(index, last, step):
    names = ("LSB_JOBINDEX", "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP")
    return {n: str(v) for n, v in zip(names, (index, last, step), strict=True)}


def sge(index, first, last, step):
    names = ("ID", "FIRST", "LAST", "STEPSIZE")
    return {f"SGE_TASK_{n}": str(v) for n, v in zip(names, (index, first, last, step), strict=True)}


@given(st.integers(1, 20), st.sets(st.integers(0, 200)))
def test_the_shares_of_all_tasks_are_the_whole(count, shards):
    shares = [ArrayTask(index, count).select(sorted(shards)) for index in range(count)]
    assert sorted(shard for share in shares for shard in share) == sorted(shards)
    assert tasks_of(sorted(shards), count) == [i for i, share in enumerate(shares) if share]


@pytest.mark.parametrize(
    ("environment", "index", "source"),
    [
        ({"SLURM_ARRAY_TASK_ID": "3"}, 3, "SLURM_ARRAY_TASK_ID=3"),
        (slurm(3, 3, 17, 14, 2), 3, "SLURM_ARRAY_TASK_ID=3"),
        ({"PBS_ARRAY_INDEX": "0"}, 0, "PBS_ARRAY_INDEX=0"),
        ({"PBS_ARRAYID": "2"}, 2, "PBS_ARRAYID=2"),
        ({"LSB_JOBINDEX": "1"}, 0, "LSB_JOBINDEX=1"),
        ({"LSB_JOBINDEX": "0", "JOB_COMPLETION_INDEX": "2"}, 2, "JOB_COMPLETION_INDEX=2"),
        ({"SGE_TASK_ID": "4"}, 3, "SGE_TASK_ID=4"),
        ({"SGE_TASK_ID": "undefined", "JOB_COMPLETION_INDEX": "1"}, 1, "JOB_COMPLETION_INDEX=1"),
    ],
)
def test_the_batch_system_says_which_task_this_is(environment, index, source):
    assert current_task(4, None, environment) == ArrayTask(index, 4, source)


@pytest.mark.parametrize(
    ("environment", "index", "count"),
    [
        (slurm(0, 0, 99, 1, 100), 0, 100),
        (slurm(7, 1, 7, 2, 4), 3, 4),
        (slurm(5, 5, 5, 1, 1), 0, 1),
        (lsf(1, 100, 1), 0, 100),
        (lsf(5, 7, 2), 2, 4),
        (sge(100, 1, 100, 1), 99, 100),
        (sge(14, 10, 15, 4), 1, 2),
    ],
)
def test_auto_is_the_number_of_tasks_that_the_batch_system_says(environment, index, count):
    found = current_task("auto", None, environment)
    assert (found.index, found.count) == (index, count)


def test_an_option_comes_before_the_environment_and_neither_means_all():
    assert current_task(4, 1, {"SLURM_ARRAY_TASK_ID": "3"}) == ArrayTask(1, 4, "--task-id")
    assert current_task(None, None, {"SLURM_ARRAY_TASK_ID": "3"}) is None


def test_a_task_says_which_it_is_and_one_that_does_everything_is_warned():
    task = current_task(4, None, {"LSB_JOBINDEX": "1"})
    assert task.line() == "task 0 of 4, counted from 0, by LSB_JOBINDEX=1"
    assert array_warning({"SGE_TASK_ID": "undefined"}) is None
    assert array_warning({"SLURM_ARRAY_TASK_ID": "3"}) == (
        "SLURM_ARRAY_TASK_ID is set, but not --num-tasks: this process computes everything"
    )


@pytest.mark.parametrize(
    ("count", "index", "environment", "message"),
    [
        (None, 1, {}, "must come with --num-tasks"),
        (4, None, {}, "needs one of SLURM_ARRAY_TASK_ID, .* give --num-tasks N and --task-id I"),
        (4, 4, {}, "from 0 to --num-tasks - 1 = 3, got 4 by --task-id"),
        (4, None, {"SGE_TASK_ID": "0"}, "got -1 by SGE_TASK_ID=0"),
        (4, None, {"PBS_ARRAY_INDEX": "x"}, "PBS_ARRAY_INDEX must be a number, got 'x'"),
        ("auto", None, {}, "--num-tasks auto needs one of SLURM_ARRAY_TASK_ID"),
        ("auto", 1, slurm(1, 0, 3, 1, 4), "auto finds the task too, got --task-id 1: omit it"),
        ("auto", None, {"PBS_ARRAY_INDEX": "0"}, "PBS does not say .* give --num-tasks N"),
        ("auto", None, {"PBS_ARRAYID": "0"}, "Torque does not say"),
        ("auto", None, {"JOB_COMPLETION_INDEX": "0"}, "Kubernetes does not say"),
        ("auto", None, {"LSB_JOBINDEX": "1"}, "LSF does not say"),
        ("auto", None, slurm(3, 3, 17, 1, 2), "2 tasks from 3 to 17.*whole array, --num-tasks N"),
        ("auto", None, slurm(4, 0, 8, 3, 3), "without holes"),
        ("auto", None, lsf(3, "x", 1), "LSB_JOBINDEX_END must be a number, got 'x'"),
    ],
)
def test_numbers_that_make_no_share_are_refused(count, index, environment, message):
    with pytest.raises(DiloError, match=message):
        current_task(count, index, environment)
