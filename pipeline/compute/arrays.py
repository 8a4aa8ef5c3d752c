"""Which share of the work is this process's: the tasks of a batch array, found by themselves."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dilo.pipeline.errors import DiloError


@dataclass(frozen=True)
class _System:
    """What a batch system tells a task of an array; a variable it does not set is ''."""

    name: str
    index: str
    start: int = 0  # number of the first task, where the user says how many there are
    not_an_array: str = ""  # what `index` says in a job that is no array
    first: str = ""
    last: str = ""
    step: str = ""
    count: str = ""


_SYSTEMS = (
    _System(
        "Slurm",
        "SLURM_ARRAY_TASK_ID",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        step="SLURM_ARRAY_TASK_STEP",
        count="SLURM_ARRAY_TASK_COUNT",
    ),
    _System("PBS", "PBS_ARRAY_INDEX"),
    _System("Torque", "PBS_ARRAYID"),
    _System(
        "LSF",
        "LSB_JOBINDEX",
        start=1,
        not_an_array="0",
        last="LSB_JOBINDEX_END",
        step="LSB_JOBINDEX_STEP",
    ),
    _System(
        "SGE",
        "SGE_TASK_ID",
        start=1,
        not_an_array="undefined",
        first="SGE_TASK_FIRST",
        last="SGE_TASK_LAST",
        step="SGE_TASK_STEPSIZE",
    ),
    _System("Kubernetes", "JOB_COMPLETION_INDEX"),
)


@dataclass(frozen=True)
class ArrayTask:
    """One of several processes that share the work: the shards of a store, runs of a campaign."""

    #: Which one, from 0.
    index: int
    #: How many there are.
    count: int
    #: What said so.
    source: str = "--task-id"

    def select(self, numbers: Sequence[int]) -> list[int]:
        """Pick this task's share; the shares of all tasks are disjoint and make up the whole."""
        return [number for number in numbers if number % self.count == self.index]

    def line(self) -> str:
        """Format which task this is, and by what."""
        return f"task {self.index} of {self.count}, counted from 0, by {self.source}"


def tasks_of(numbers: Sequence[int], count: int) -> list[int]:
    """List the tasks of an array, from 0, that have some of these numbers in their shares."""
    return sorted({number % count for number in numbers})


def current_task(
    count: int | Literal["auto"] | None,
    index: int | None,
    environment: Mapping[str, str] = os.environ,
) -> ArrayTask | None:
    """Find this process's task of an array; None without `count`: it does everything.

    Without `index`, the variables of Slurm, PBS, LSF, SGE and Kubernetes' indexed jobs say it; with
    a `count` of "auto", they say the number of tasks too. Numbers that make no share are refused.
    """
    if count is None:
        if index is not None:
            raise DiloError(f"--task-id {index} must come with --num-tasks, got none")
        return None
    if index is not None:
        if count == "auto":
            raise DiloError(
                f"--num-tasks auto finds the task too, got --task-id {index}: "
                f"omit it, or give --num-tasks N"
            )
        return _check_task(ArrayTask(index, count))
    system = _system(environment)
    if system is None:
        names = ", ".join(system.index for system in _SYSTEMS)
        raise DiloError(
            f"--num-tasks {count} needs one of {names} in the environment, got none: "
            f"submit an array, or give --num-tasks N and --task-id I"
        )
    source = f"{system.index}={environment[system.index]}"
    if count == "auto":
        return _check_task(ArrayTask(*_from_array(system, environment), source))
    return _check_task(ArrayTask(_number(environment, system.index) - system.start, count, source))


def array_warning(environment: Mapping[str, str] = os.environ) -> str | None:
    """Warn where a task of an array does not share its work with the others.

    That may be meant, in an array over datasets. None outside an array.
    """
    system = _system(environment)
    if system is None:
        return None
    return f"{system.index} is set, but not --num-tasks: this process computes everything"


def _system(environment: Mapping[str, str]) -> _System | None:
    """Find the batch system whose array this process belongs to."""
    for system in _SYSTEMS:
        if environment.get(system.index, system.not_an_array) != system.not_an_array:
            return system
    return None


def _from_array(system: _System, environment: Mapping[str, str]) -> tuple[int, int]:
    """Read index and count off an array that need not start at 0 or count by ones."""
    if system.last not in environment:
        raise DiloError(
            f"--num-tasks auto: {system.name} does not say how many tasks the array has: "
            f"give --num-tasks N"
        )
    first = _number(environment, system.first, system.start)
    step = _number(environment, system.step, 1)
    last = _number(environment, system.last)
    index, rest = divmod(_number(environment, system.index) - first, max(step, 1))
    count = (last - first) // max(step, 1) + 1
    stated_count = _number(environment, system.count, count)
    if stated_count != count or rest:
        raise DiloError(
            f"--num-tasks auto needs an array without holes, got {stated_count} tasks from {first} "
            f"to {last}: give the number of tasks of the whole array, --num-tasks N"
        )
    return index, count


def _number(environment: Mapping[str, str], variable: str, otherwise: int | None = None) -> int:
    """Read a variable that is a number, or take what stands for it where it is not set."""
    value = environment.get(variable)
    if value is None and otherwise is not None:
        return otherwise
    if value is None or not value.isdecimal():
        raise DiloError(
            f"{variable} must be a number, got {value!r}: give --num-tasks N and --task-id I"
        )
    return int(value)


def _check_task(task: ArrayTask) -> ArrayTask:
    """Return a task, or refuse one that is none of its array's."""
    if not 0 <= task.index < task.count:
        raise DiloError(
            f"the task must be from 0 to --num-tasks - 1 = {task.count - 1}, got {task.index} "
            f"by {task.source}: number the array as docs/cluster.md does, or give --task-id I"
        )
    return task
