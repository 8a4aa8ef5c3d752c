"""Run what a campaign lacks: one command after the other, each in a process of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from dilo.pipeline.common.printing import printable
from dilo.pipeline.common.startup import safe_environment
from dilo.pipeline.errors import DiloError
from dilo.train.campaign.commands import (
    REPORT,
    Command,
    Run,
    report_command,
    table_command,
)
from dilo.train.campaign.file import Campaign
from dilo.train.campaign.progress import (
    forget_outcome,
    log_path,
    progress_of,
    read_outcome,
    state_of,
    steps_of,
    write_outcome,
)
from dilo.train.engine.claim import POLL, Claimed, claim_run, holder
from dilo.train.runtime.signals import PREEMPTED, StopSignal

Say = Callable[[str], None]

#: Seconds between two looks at a program that runs.
LOOK: Final = 0.2
#: What the sentence of an error begins with.
_ERROR: Final = "Error: "
#: Letters of a reason, at most.
LONGEST: Final = 300
#: Seconds for which a program that is to end at once is waited for.
PATIENCE: Final = 30.0
#: What a program is started through: where the process that started it is killed, it gets SIGTERM,
#: and so leaves a checkpoint. Linux alone does so; elsewhere it works on, and its claim tells.
_TIED: Final = """
import ctypes, os, signal, sys
parent, *words = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(parent):
    os.execv(words[0], words)
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    #: Negative where a signal killed it.
    status: int
    #: Why it failed, in a line.
    reason: str
    seconds: float


@dataclass(frozen=True)
class Runner:
    """Where and how the commands of a campaign run."""

    campaign: Campaign
    #: Where relative paths of the campaign are.
    folder: Path
    out: Path
    say: Say
    stop: StopSignal

    def run_all(self, runs: Sequence[Run]) -> None:
        """Do what is missing of some runs; those that another process has are passed over.

        They are looked at again after the others, for that process may have ended meanwhile.
        """
        waiting = list(runs)
        while waiting and not self.stop.name:
            busy = [run for run in waiting if not self._do(run)]
            if len(busy) == len(waiting):
                return
            waiting = busy

    def _do(self, run: Run) -> bool:
        """Do what is missing of a run; return whether it was free, or nothing is missing."""
        progress = progress_of(run)
        if self.stop.name or not progress.to_do():
            return True
        try:
            with claim_run(run.logs, self.say, self.stop):
                if holder(run.folder):  # which somebody trains by hand
                    raise Claimed
                # Read anew: another process may have done something until a moment ago.
                for command in progress_of(run).to_do():
                    if self.stop.name or not self._is_due(run, command):
                        break
                    self._run(run, command)
        except Claimed:
            other = holder(run.logs) or holder(run.folder) or "another process"
            self.say(f"{run.name} is passed over: {other}, has it")
            return False
        return True

    def _is_due(self, run: Run, command: Command) -> bool:
        """Check whether what a command needs is there: an evaluation needs the training."""
        return command is run.train or progress_of(run).states[run.train.name] == "done"

    def _run(self, run: Run, command: Command) -> None:
        """Run a command of a run, and leave how it ended."""
        forget_outcome(run.logs, command)
        self.say(f"{run.name}: {command.line()}")
        before = state_of(run)
        ended = self.execute(command, log_path(run.logs, command))
        after = state_of(run)
        # What it was asked to do; torchrun has the status 1 for it, and a state of before is none.
        stopped = after != before and after.word in ("preempted", "stopped")
        if self.stop.name or stopped or ended.status == PREEMPTED:
            return  # nothing failed: the next start resumes it
        write_outcome(
            run.logs,
            command,
            status=ended.status,
            steps=steps_of(run),
            seconds=ended.seconds,
            reason=ended.reason,
        )
        if ended.status:
            self.say(f"{run.name}: {command.name} failed with status {ended.status}")

    def summarize(self, runs: Sequence[Run]) -> bool:
        """Make the table and the page of the runs that are trained; return whether this worked.

        One process at a time: the last of an array to end makes those of all.
        """
        while not self.stop.name:
            try:
                with claim_run(self.out, self.say, self.stop):
                    return self._summarize(runs)
            except Claimed:
                time.sleep(POLL)
        return True

    def _summarize(self, runs: Sequence[Run]) -> bool:
        """Make the table and the page."""
        trained = [run for run in runs if progress_of(run).states[run.train.name] == "done"]
        if not trained:
            return True
        table = table_command(self.campaign, trained, self.out)
        report = report_command(self.campaign, trained, self.out)
        logs = self.out / "logs"
        before = read_outcome(logs, report)
        if before is None or before.options != report.options:
            # dilo-eval keeps a page of other runs, which here is one of fewer.
            shutil.rmtree(self.out / REPORT, ignore_errors=True)
        worked = True
        for command in (table, report):
            self.say(command.line())
            ended = self.execute(command, log_path(logs, command))
            if not self.stop.name:
                write_outcome(
                    logs,
                    command,
                    status=ended.status,
                    steps=0,
                    seconds=ended.seconds,
                    reason=ended.reason,
                )
                worked = worked and not ended.status
        return worked

    def execute(self, command: Command, log: Path) -> Ended:
        """Run a command to its end; what it says is said, and kept in a log.

        A signal that asks this process to stop is handed on, once, and its end is waited for.
        """
        started, last = time.monotonic(), [""]
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"$ {command.line()}\n")
            file.flush()
            process = subprocess.Popen(
                [sys.executable, "-IS", "-c", _TIED, str(os.getpid()), *command.argv()],
                cwd=self.folder,
                env={**os.environ, **safe_environment()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
                # A Ctrl-C of the terminal comes through this process alone, and so once.
                process_group=0,
            )
            assert process.stdout is not None  # noqa: S101  # for types: it is a pipe
            reader = threading.Thread(
                target=_copy, args=(process.stdout, file, self.say, last), daemon=True
            )
            reader.start()
            try:
                self._wait(process)
            finally:
                if process.poll() is None:  # a second Ctrl-C, which ends a training at once
                    process.send_signal(signal.SIGINT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(PATIENCE)
                reader.join(PATIENCE)
            file.write(f"exit status {process.returncode}\n")
        status = process.returncode
        reason = last[0].removeprefix(_ERROR)
        if status < 0:
            reason = f"killed by {signal.Signals(-status).name}"
        return Ended(status, reason if status else "", time.monotonic() - started)

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        """Wait for a program, and hand a signal on to it."""
        signalled = False
        while process.poll() is None:
            if self.stop.name and not signalled:
                process.send_signal(signal.SIGTERM)
                signalled = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)


def _copy(lines: IO[str], log: IO[str], say: Say, last: list[str]) -> None:
    """Say and keep the lines of a program; what is left in `last` says why it failed."""
    with lines:
        for text in lines:
            line = text.rstrip("\n")
            log.write(f"{line}\n")
            log.flush()
            say(line)
            # The sentence of an error of dilo; of any other program, the last of its words.
            if line.strip() and not last[0].startswith(_ERROR):
                last[0] = printable(line.strip(), LONGEST)


def require_own(out: Path) -> None:
    """Refuse a folder that holds something else than a campaign."""
    if not out.exists():
        return
    names = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if names and "runs" not in names and "logs" not in names:
        raise DiloError(
            f"--out {out} must be empty, or hold a campaign, got {names[0]} and neither runs nor "
            "logs: give another folder"
        )
