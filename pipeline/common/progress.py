"""Show how far long work is: a bar on a terminal, one plain line every 30 s in a log."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from dilo.pipeline.common.printing import printable

#: Seconds between two lines in a log.
PERIOD = 30.0


class Progress:
    """Count finished things out of a total, in a `with` block; `done` says how many.

    Parameters
    ----------
    total : int
        How many there will be.
    unit : str
        What they are, in the plural: "images".
    say : callable
        Writes one line where no terminal is.
    terminal : bool, optional
        Whether to draw a bar; unless given, whether standard error is a terminal.
    clock : callable, optional
        Seconds, for tests.
    steady : bool, default False
        Write lines also while nothing is finished, from a thread: for slow shards must
        not look like a dead program. Not where processes are forked meanwhile.
    period : float, default 30
        Seconds between two lines where no terminal is.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        say: Callable[[str], None],
        *,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        steady: bool = False,
        period: float = PERIOD,
    ) -> None:
        self._total, self._unit, self._say, self._clock = total, unit, say, clock
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._steady, self._period = steady, period
        self.done = 0
        self._note = ""
        self._start = self._last = clock()
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._finished = threading.Event()

    def __enter__(self) -> Self:
        if self._terminal:
            self._bar = tqdm(total=self._total, unit=f" {self._unit}", dynamic_ncols=True)
        elif self._steady:
            threading.Thread(target=self._write_periodically, daemon=True).start()
        return self

    def _write_periodically(self) -> None:
        """Write a line every so often until the work has ended."""
        while not self._finished.wait(self._period / 10):
            self._write_if_due()

    def _write_if_due(self) -> None:
        """Write a line if the last one was some time ago."""
        if self._clock() - self._last >= self._period:
            self._last = self._clock()
            self._say(self.line())

    def advance(self, count: int, note: str = "") -> None:
        """Count some more as done."""
        self.done += count
        self._note = printable(note)
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(count)
        else:
            self._write_if_due()

    def line(self) -> str:
        """Format how far the work is, in one line."""
        seconds = max(self._clock() - self._start, 1e-9)
        rate = self.done / seconds
        remaining = (self._total - self.done) / rate if rate else float("inf")
        text = f"{self.done}/{self._total} {self._unit}, {rate:.1f}/s, {_duration(remaining)} left"
        return f"{text}, {self._note}" if self._note else text

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finished.set()
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    """Write seconds as h:mm:ss."""
    if seconds == float("inf"):
        return "unknown time"
    minutes, remainder = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{remainder:02d}"
