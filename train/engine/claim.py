"""One training in a folder at a time: who trains there, since when, and whether that one lives."""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from dilo.pipeline.common.files import remove_leftovers, temporary_name, write_if_absent
from dilo.pipeline.common.processes import own_namespace, start_time
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import AccessError, DiloError, require_access
from dilo.train.runtime import distributed
from dilo.train.runtime.signals import StopSignal

#: The file, in the folder of the run.
CLAIM: Final = "claim.json"
#: Seconds between two signs of life.
HEARTBEAT: Final = 30.0
#: Seconds without one after which a process that cannot be asked, on another machine, is dead.
PATIENCE: Final = 180.0
#: Seconds between two looks for one.
POLL: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """A process, named as no other one is named."""

    #: Name of its machine, for people.
    host: str
    #: Its number there.
    pid: int
    #: When it claimed the run, UTC.
    since: str
    #: When it was started: numbers are given again.
    started: str
    #: Since which start the machine runs, and in which space of process numbers the process is: a
    #: process of the same can be asked whether it lives.
    machine: str
    #: A random word.
    token: str

    @classmethod
    def here(cls) -> Self:
        """Name this process."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            started=start_time(os.getpid()),
            machine=own_namespace(),
            token=secrets.token_hex(8),
        )

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Read who has claimed a run.

        Gives None where nobody has, or the file says nothing of use.
        """
        try:
            content = read_json(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            require_access(error, path)
            return None
        kinds = {field.name: int if field.name == "pid" else str for field in fields(cls)}
        if not isinstance(content, dict) or set(content) != set(kinds):
            return None
        sound = all(type(content[name]) is kind for name, kind in kinds.items())
        return cls(**content) if sound else None

    def lives(self) -> bool | None:
        """Tell whether the process lives.

        Gives None where it cannot be asked, on another machine or in another container.
        """
        if self.machine != own_namespace():
            return None
        started = start_time(self.pid)
        return started == self.started if started or not _hidden(self.pid) else None


class Claim:
    """The right to train in a folder, which others respect while signs of life come.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._mine = folder / CLAIM, Claimant.here()
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def take(self, say: Callable[[str], None], interruption: StopSignal) -> None:
        """Claim the folder, which must exist; from then on signs of life are given."""
        waiting: tuple[Claimant | None, int] | None = None
        while not self._written():
            other = Claimant.of(self._path)
            beat, silent = _last_sign(self._path)
            lives = other.lives() if other else None
            if waiting and waiting[0] == other and beat > waiting[1]:
                lives = True
            if lives:
                raise DiloError(_refusal(self._path, other))
            if lives is False or silent >= PATIENCE:
                self._remove(other)
                continue
            if waiting is None or waiting[0] != other:
                say(f"{_waiting(self._path, other)}, for up to {PATIENCE - silent:.0f} s")
                waiting = other, beat
            if interruption.came:
                raise DiloError(f"stopped by {interruption.came}: {_refusal(self._path, other)}")
            time.sleep(POLL)
        self._beating.start()

    def require(self) -> None:
        """Refuse to go on where another training has taken the folder over."""
        try:
            other = Claimant.of(self._path)
            # Where somebody tidied, the claim is made again, unless another one came first.
            if other == self._mine or self._written():
                return
        except (OSError, AccessError):
            return  # the disk is away, which whoever writes there will say
        raise DiloError(
            f"{self._path.parent} must be trained in by one program at a time, got "
            f"{_named(Claimant.of(self._path))}, beside this one, which was taken for dead: it "
            f"gave no sign of life for {PATIENCE:.0f} s. This one ends and changes nothing there"
        )

    def give_back(self) -> None:
        """Let others train here."""
        self._over.set()
        if self._beating.is_alive():
            self._beating.join()
        with contextlib.suppress(OSError, DiloError):
            if Claimant.of(self._path) == self._mine:
                self._path.unlink()

    def _written(self) -> bool:
        """Write the claim where there is none; tell whether it is this training's."""
        try:
            return write_if_absent(self._path, json.dumps(asdict(self._mine)) + "\n")
        except OSError as error:
            require_access(error, self._path)
            raise

    def _remove(self, dead: Claimant | None) -> None:
        """Remove the claim of a dead process, but not one that came in its place meanwhile."""
        aside = temporary_name(self._path)
        with contextlib.suppress(FileNotFoundError):  # another one was quicker
            self._path.rename(aside)
            if Claimant.of(aside) != dead:
                with contextlib.suppress(OSError):
                    os.link(aside, self._path)
            aside.unlink()

    def _beat(self) -> None:
        """Give signs of life until all is over."""
        while not self._over.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the disk is away: the next one may come through
                os.utime(self._path)


@contextlib.contextmanager
def claimed(folder: Path, say: Callable[[str], None], interruption: StopSignal) -> Iterator[Claim]:
    """Be the only training in a folder; all ranks of one are one."""
    claim = Claim(folder)

    def take() -> bool:
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        claim.take(say, interruption)
        remove_leftovers(folder)
        return new

    new = distributed.on_rank_zero(take)
    try:
        yield claim
    finally:
        if distributed.rank() == 0:
            claim.give_back()
            if new:
                with contextlib.suppress(OSError):  # there is something in it, as should be
                    folder.rmdir()


def _named(other: Claimant | None) -> str:
    """Name another training."""
    if other is None:
        return "a program that is not known"
    return f"process {other.pid} on {other.host}, since {other.since}"


def _refusal(path: Path, other: Claimant | None) -> str:
    """Say who trains in a folder, and what to do."""
    return (
        f"{path.parent} must be trained in by one program at a time, got {_named(other)}: wait "
        f"until that ends, end it with SIGTERM, or give another --out"
    )


def _waiting(path: Path, other: Claimant | None) -> str:
    """Say what is waited for where another process cannot be asked whether it lives."""
    return (
        f"{path.parent} was being trained in by {_named(other)}, of another machine or container: "
        f"waiting for a sign of life"
    )


def _last_sign(path: Path) -> tuple[int, float]:
    """Tell when the last sign of life came, and how many seconds ago by the clock of its disk."""
    probe = temporary_name(path)
    try:
        probe.touch()
        beat, now = path.stat().st_mtime_ns, probe.stat().st_mtime_ns
    except FileNotFoundError:
        return 0, 0.0
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return beat, max(0, now - beat) / 1e9


def _hidden(pid: int) -> bool:
    """Tell a process of another user, which the system may not show, from none."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False
