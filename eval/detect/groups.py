"""One process in place of many GPUs: groups of images that take turns through a network.

Each group is a batch of its own, with its own padding. Where they normalise, they wait for each
other, so that batch norm sees what it would see on as many GPUs.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from dilo.train.runtime import distributed

Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(eq=False)
class Group:
    """A group on its way through a network: its place among the others, and its random numbers."""

    #: Its number among those of this process.
    number: int
    #: All that it draws comes from here.
    generator: torch.Generator
    turns: "_Turns"
    #: How often it has met the others.
    meetings: int = 0

    def average(self, values: Tensor) -> Tensor:
        """Meet all other groups, those of other ranks too, and average values with them.

        Parameters
        ----------
        values : Tensor of shape (N + 1,), float32
            Statistics, then their weight, which is 0 or 1; of one length in all groups.

        Returns
        -------
        Tensor of shape (N,), float32
            The mean over the groups of weight 1, through which gradients flow to all of them.
        """
        meeting, self.meetings = self.meetings, self.meetings + 1
        return self.turns.average(self.number, meeting, values)


_CURRENT = threading.local()


def current_group() -> Group | None:
    """Return the group that this thread works for; None outside of training."""
    group: Group | None = getattr(_CURRENT, "group", None)
    return group


def in_groups(
    function: Callable[[Part], Result], parts: Sequence[Part], generators: Sequence[torch.Generator]
) -> list[Result]:
    """Call a function on each group's part, the groups taking turns wherever they meet.

    Parameters
    ----------
    function : callable
        Takes a part. It must meet the other groups as often for each.
    parts : sequence
        One a group of this process.
    generators : sequence of torch.Generator
        One a group: what it draws from.

    Returns
    -------
    list
        One result a group.
    """
    turns = _Turns(len(parts))
    groups = [Group(number, generator, turns) for number, generator in enumerate(generators)]
    if len(parts) == 1:
        with _working_for(groups[0]):
            return [function(parts[0])]
    return _Threads(function, parts, groups, turns).results()


@contextlib.contextmanager
def _working_for(group: Group) -> Iterator[None]:
    """Let this thread work for a group."""
    _CURRENT.group = group
    try:
        yield
    finally:
        _CURRENT.group = None


class _Abandoned(Exception):  # no error of its own: another group's ends them all
    """Another group failed."""


@dataclass(eq=False)
class _Turns:
    """Whose turn it is: one group computes at a time, in the order of their numbers."""

    count: int
    current: int = 0
    failed: bool = False
    #: What the groups have brought to each meeting.
    brought: dict[int, list[Tensor]] = field(default_factory=dict)
    #: What each meeting came to, for those that have not taken it.
    means: dict[int, Tensor] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def average(self, number: int, meeting: int, values: Tensor) -> Tensor:
        """Bring a group's values to a meeting, and return their mean once all have come."""
        brought = self.brought.setdefault(meeting, [])
        brought.append(values)
        if len(brought) == self.count:
            self.means[meeting] = _mean(brought)
            del self.brought[meeting]
        if self.count > 1:
            self.end(number)
            self.wait(number)
        mean = self.means[meeting]
        if number == self.count - 1:  # it is the last to take it
            del self.means[meeting]
        return mean

    def wait(self, number: int) -> None:
        """Wait for a group's turn."""
        with self.changed:
            self.changed.wait_for(lambda: self.failed or self.current == number)
            if self.failed:
                raise _Abandoned

    def end(self, number: int) -> None:
        """Pass the turn on."""
        with self.changed:
            self.current = (number + 1) % self.count
            self.changed.notify_all()

    def fail(self) -> None:
        """Let no group wait any more."""
        with self.changed:
            self.failed = True
            self.changed.notify_all()


def _mean(brought: Sequence[Tensor]) -> Tensor:
    """Average what all groups of all ranks have brought, each with its weight."""
    total = torch.stack(list(brought)).sum(0)
    if distributed.world_size() > 1:
        total = distributed.all_gather_with_grad(total[None]).sum(0)
    return total[:-1] / total[-1].clamp(min=1)


class _Threads(Generic[Part, Result]):
    """A thread for each group; what torch keeps for each thread is that of the calling one."""

    def __init__(
        self,
        function: Callable[[Part], Result],
        parts: Sequence[Part],
        groups: Sequence[Group],
        turns: _Turns,
    ) -> None:
        self._function, self._parts, self._turns = function, parts, turns
        self._results: dict[int, Result] = {}
        self._errors: list[BaseException] = []
        self._grad = torch.is_grad_enabled()
        self._device = groups[0].generator.device
        kind = self._device.type
        self._autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        self._threads = [threading.Thread(target=self._work, args=(group,)) for group in groups]

    def results(self) -> list[Result]:
        """Let all of them work to their end; raise the first error."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return [self._results[number] for number in range(len(self._parts))]

    def _work(self, group: Group) -> None:
        """Work for a group."""
        kind, dtype, enabled = self._autocast
        gpu = torch.cuda.device(self._device) if kind == "cuda" else contextlib.nullcontext()
        try:
            self._turns.wait(group.number)
            with (
                _working_for(group),
                gpu,
                torch.set_grad_enabled(self._grad),
                torch.autocast(kind, dtype, enabled=enabled),
            ):
                self._results[group.number] = self._function(self._parts[group.number])
            self._turns.end(group.number)
        except _Abandoned:
            pass
        except BaseException as error:  # raised again by the thread that waits
            self._errors.append(error)
            self._turns.fail()
