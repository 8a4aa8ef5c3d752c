"""Signals that ask a run to stop: noted when they come, answered between two steps."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

#: As sysexits.h has EX_TEMPFAIL: try again.
PREEMPTED = 75
#: What batch systems send before they end a job, and Ctrl-C.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
#: A launcher passes Ctrl-C on to processes that the terminal has told already; an interrupt that
#: comes later than so many seconds after the first is meant.
PATIENCE = 2.0


class StopSignal:
    """While open, signals are noted instead of ending the process.

    A second Ctrl-C, for those who will not wait for the checkpoint, ends it at once. Outside
    of the main thread, where Python takes no signals, nothing is changed.

    Attributes
    ----------
    name : str
        Name of the first signal that came; empty before.
    """

    def __init__(self) -> None:
        self.name = ""
        self._time = 0.0
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; do nothing else, for it may come in the middle of anything."""
        now = time.monotonic()
        if self.name and number == signal.SIGINT and now - self._time > PATIENCE:
            raise KeyboardInterrupt
        if not self.name:
            self.name, self._time = signal.Signals(number).name, now


class Abandoned(Exception):  # no error: what was begun is done by the next start
    """Something that can be done again was given up, for a signal came."""


def never() -> None:
    """Give nothing up, where nobody asks to stop."""


def ignore_stop_signals() -> None:
    """Let a loader's worker outlive the signals that its batch system sends to every process.

    It ends with the process that it works for.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
