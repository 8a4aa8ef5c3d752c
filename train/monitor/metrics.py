"""The numbers of a run: gathered over its steps, written line by line, and drawn by TensorBoard."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.textfiles import parse_json, read_bytes
from dilo.pipeline.errors import DiloError
from dilo.train.data.dataset import BatchCounts
from dilo.train.data.loader import Prefetched
from dilo.train.methods.base import StepOutput
from dilo.train.runtime import distributed
from dilo.train.runtime.options import RunOptions

METRICS = "metrics.jsonl"
#: Bytes of the longest record of a training that is read: tens of millions of lines.
MAX_METRICS = 2**32


class Counted(Protocol):
    """A batch that says what is in it."""

    def counts(self) -> BatchCounts:
        """Count what is in it."""


class ThroughputMeter:
    """What happens between two lines of the record: speed, waiting, pastes.

    Parameters
    ----------
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start()

    def _start(self) -> None:
        """Begin a line."""
        self._begin, self._pause_seconds = self._clock(), 0.0
        self._images = self._views = self._pastes = self._skipped = 0
        self._wait_seconds = 0.0

    def batch(
        self, images: int, wait_seconds: float, views: int, pastes: int, skipped: int
    ) -> None:
        """Count a batch."""
        self._images += images
        self._wait_seconds += wait_seconds
        self._views += views
        self._pastes += pastes
        self._skipped += skipped

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of what is no training: a checkpoint, an evaluation."""
        begin = self._clock()
        try:
            yield
        finally:
            self._pause_seconds += self._clock() - begin

    def line(self) -> dict[str, float]:
        """Return what was measured since the last line, and begin the next."""
        # A clock may stand still between two looks.
        seconds = max(self._clock() - self._begin - self._pause_seconds, 1e-9)
        values = {
            "images_per_second": round(self._images / seconds, 1),
            "data_wait": round(min(self._wait_seconds / seconds, 1.0), 4),
        }
        if self._views:
            values["paste_rate"] = round(self._pastes / self._views, 4)
            values["skipped_pastes"] = self._skipped
        self._start()
        return values


class DeviceWaits:
    """How long a GPU had nothing to do between a step and the next: the wait for batches.

    Python cannot tell: while it waits for a batch, the GPU may still be busy with the step
    before. Events on the GPU's own stream can.

    Parameters
    ----------
    device : torch.device
        Where the steps are taken; on a CPU, where Python waits itself, nothing is measured.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin: Any = None
        self._waits: list[tuple[Any, Any]] = []

    def begin(self) -> None:
        """Mark that all of a step has been given to the device."""
        self._begin = self._mark()

    def end(self) -> None:
        """Mark that the next step begins."""
        if self._begin is not None:
            self._waits.append((self._begin, self._mark()))
            self._begin = None

    def take(self) -> float:
        """Return the seconds waited since the last look; the device must have come to the end."""
        milliseconds = sum(begin.elapsed_time(end) for begin, end in self._waits)
        self._waits.clear()
        return float(milliseconds) / 1000

    def _mark(self) -> Any:
        """Record an event on the stream of the steps; None on a CPU."""
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event


class MetricsFile:
    """The lines of metrics.jsonl, one JSON object a recorded step.

    Parameters
    ----------
    run : Path
        Folder of the run.
    step : int
        Step that the run goes on from. Lines of later steps, which a killed run wrote
        after its last checkpoint, are removed: those steps are taken again.
    """

    def __init__(self, run: Path, step: int) -> None:
        path = run / METRICS
        lines = "".join(
            f"{json.dumps(line)}\n" for line in read_metrics(run) if line["step"] <= step
        )
        write_text(path, lines)
        self._file = path.open("a", encoding="utf-8")

    def add(self, values: dict[str, Any]) -> None:
        """Write one line."""
        line = {key: value if _is_json(value) else None for key, value in values.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_json(value: object) -> bool:
    """Check whether JSON can hold a value: it has no NaN and no infinity."""
    return not isinstance(value, float) or math.isfinite(value)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl."""
    path = run / METRICS
    lines = []
    if path.exists():
        for text in read_bytes(path, MAX_METRICS).decode("utf-8-sig", "replace").splitlines():
            with contextlib.suppress(ValueError):
                line = parse_json(text, path)
                if isinstance(line, dict) and isinstance(line.get("step"), int):
                    lines.append(line)
    return lines


def has_evaluation(run: Path, step: int) -> bool:
    """Check whether the record has a line of an evaluation at a step."""
    return any(line["step"] == step and "loss" not in line for line in read_metrics(run))


FOLDER = "tensorboard"
#: What a line says besides its scalars.
_NO_SCALARS = ("step", "epoch", "knn_k")


def require_tensorboard() -> Any:
    """Import what writes event files."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DiloError(
            "--tensorboard needs the package tensorboard: pip install 'dilo[tensorboard]', "
            "or omit it: metrics.jsonl has the same numbers"
        ) from error
    return SummaryWriter


class TensorBoardFile:
    """Event files that TensorBoard draws.

    Parameters
    ----------
    run : Path
        Folder of the run; they lie in its folder ``tensorboard``.
    step : int
        Step that the run goes on from. Points of later steps, which a killed run wrote after
        its last checkpoint, are no longer drawn.

    Raises
    ------
    DiloError
        If TensorBoard is not installed.
    """

    def __init__(self, run: Path, step: int) -> None:
        self._writer: Any = require_tensorboard()(str(run / FOLDER), purge_step=step + 1)

    def add(self, values: dict[str, Any]) -> None:
        """Draw the scalars of one line."""
        for name, value in values.items():
            if name not in _NO_SCALARS and value is not None:
                self._writer.add_scalar(name, value, values["step"])
        self._writer.flush()

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()


class MetricsLogger:
    """The numbers of a run, gathered on all ranks and written by rank 0.

    Parameters
    ----------
    run : Path
        Folder of the run.
    machine : RunOptions
        What to write.
    remedy : str
        What to try where the loss is no number.

    Attributes
    ----------
    loss : float
        Recorded last; NaN before.
    unreadable : int
        Samples of this process replaced because their image could not be read.
    meter : ThroughputMeter
        Speed, waiting and pastes since the last line.
    waits : DeviceWaits
        What a GPU waited since the last line.
    """

    def __init__(self, run: Path, machine: RunOptions, remedy: str) -> None:
        self._run, self._machine, self._remedy = run, machine, remedy
        self.loss, self.unreadable, self.meter = math.nan, 0, ThroughputMeter()
        self.waits = DeviceWaits(machine.device)
        self._writers: list[MetricsFile | TensorBoardFile] = []
        self._losses: list[Tensor] = []
        self._last_line: dict[str, Any] = {}

    def open(self, stack: contextlib.ExitStack, step: int) -> None:
        """Open what rank 0 writes to, and begin to measure."""
        self._writers.clear()
        if distributed.rank() == 0:
            self._writers.append(MetricsFile(self._run, step))
            if self._machine.tensorboard:
                self._writers.append(TensorBoardFile(self._run, step))
        for writer in self._writers:
            stack.enter_context(contextlib.closing(writer))
        self.meter = ThroughputMeter()

    def count(self, parts: Iterable[Prefetched[Counted]], loss: Tensor) -> None:
        """Count a step: of all ranks' images, but this one's views."""
        self._losses.append(loss)
        for part in parts:
            counts = part.batch.counts()
            self.unreadable += counts.unreadable
            images = counts.images * distributed.world_size()
            on_cpu = self._machine.device.type == "cpu"
            wait = part.wait_seconds if on_cpu else 0.0
            self.meter.batch(images, wait, counts.views, counts.pastes, counts.skipped)

    def record(
        self, output: StepOutput, *, step: int, epoch: int, rate: float
    ) -> Mapping[str, Any]:
        """Write a line of a step, and return it; reading its numbers waits for the device."""
        values = distributed.all_reduce_mean(
            torch.stack([output.loss, *output.scalars.values()])
        ).tolist()
        self.loss = values[0]
        self.meter.batch(0, self.waits.take(), 0, 0, 0)
        line = {"step": step, "epoch": epoch, "loss": self.loss, "lr": rate}
        line |= dict(zip(output.scalars, values[1:], strict=True)) | self.meter.line()
        self.write(line)
        self.require_finite(step, rate)
        self._last_line = line
        return line

    def write(self, line: dict[str, Any]) -> None:
        """Write a line, on rank 0."""
        for writer in self._writers:
            writer.add(line)

    def require_finite(self, step: int, rate: float) -> None:
        """Stop at the first loss since the last look that is no number, on any rank."""
        if not self._losses:
            return
        losses = distributed.all_reduce_mean(torch.stack(self._losses))
        first = step - len(self._losses) + 1
        self._losses.clear()
        nonfinite = (~losses.isfinite()).nonzero().flatten().tolist()
        if nonfinite:
            last = ", ".join(f"{name} {value:g}" for name, value in self._last_line.items())
            raise DiloError(
                f"the loss must stay a number, got {losses[nonfinite[0]].item()} at step "
                f"{first + nonfinite[0]} with learning rate {rate:g} (recorded last: "
                f"{last or 'nothing since the start'}): the checkpoints before are kept; "
                f"{self._remedy}"
            )
