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

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

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

        Returns None where nobody has, or the file says nothing of use.
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
        valid = all(type(content[name]) is kind for name, kind in kinds.items())
        return cls(**content) if valid else None

    def lives(self) -> bool | None:
        """Check whether the process lives.

        Returns None where it cannot be asked, on another machine or in another container.
        """
        if self.machine != own_namespace():
            return None
        started = start_time(self.pid)
        return started == self.started if started or not _is_hidden(self.pid) else None


class Claimed(DiloError):
    """Another process, which lives, has the folder."""


class Claim:
    """The right to train in a folder, which others respect while signs of life come.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._mine = folder / CLAIM, Claimant.here()
        self._stopped = threading.Event()
        self._heartbeat = threading.Thread(target=self._keep_alive, daemon=True)

    def take(self, say: Callable[[str], None], interruption: StopSignal) -> None:
        """Claim the folder, which must exist; from then on signs of life are given."""
        last_seen: tuple[Claimant | None, int] | None = None
        while not self._write():
            other = Claimant.of(self._path)
            beat, silent = _last_heartbeat(self._path)
            alive = other.lives() if other else None
            if last_seen and last_seen[0] == other and beat > last_seen[1]:
                alive = True
            if alive:
                raise Claimed(_refusal_message(self._path, other))
            if alive is False or silent >= PATIENCE:
                self._remove(other)
                continue
            if last_seen is None or last_seen[0] != other:
                say(f"{_waiting_message(self._path, other)}, for up to {PATIENCE - silent:.0f} s")
                last_seen = other, beat
            if interruption.name:
                raise DiloError(
                    f"stopped by {interruption.name}: {_refusal_message(self._path, other)}"
                )
            time.sleep(POLL)
        self._heartbeat.start()

    def require(self) -> None:
        """Refuse to go on where another training has taken the folder over."""
        try:
            other = Claimant.of(self._path)
            # Where somebody tidied, the claim is made again, unless another one came first.
            if other == self._mine or self._write():
                return
        except (OSError, AccessError):
            return  # the disk is away, which whoever writes there will say
        raise DiloError(
            f"{self._path.parent} must be trained in by one program at a time, got "
            f"{_describe(Claimant.of(self._path))}, beside this one, which was taken for dead: it "
            f"gave no sign of life for {PATIENCE:.0f} s. This one ends and changes nothing there"
        )

    def give_back(self) -> None:
        """Let others train here."""
        self._stopped.set()
        if self._heartbeat.is_alive():
            self._heartbeat.join()
        with contextlib.suppress(OSError, DiloError):
            if Claimant.of(self._path) == self._mine:
                self._path.unlink()

    def _write(self) -> bool:
        """Write the claim where there is none; return whether this did."""
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

    def _keep_alive(self) -> None:
        """Touch the claim as a sign of life, until the claim is given back."""
        while not self._stopped.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the disk is away: the next one may come through
                os.utime(self._path)


@contextlib.contextmanager
def claim_run(
    folder: Path, say: Callable[[str], None], interruption: StopSignal
) -> Iterator[Claim]:
    """Hold the claim on a folder, as the only training there; all ranks of one count as one."""
    claim = Claim(folder)

    def take() -> bool:
        created = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        claim.take(say, interruption)
        remove_leftovers(folder)
        return created

    created = distributed.on_rank_zero(take)
    try:
        yield claim
    finally:
        if distributed.rank() == 0:
            claim.give_back()
            if created:
                with contextlib.suppress(OSError):  # there is something in it, as should be
                    folder.rmdir()


def holder(folder: Path) -> Claimant | None:
    """Find who works in a folder now; None where nobody does, as far as can be seen."""
    path = folder / CLAIM
    other = Claimant.of(path)
    if other is None:
        return None
    alive = other.lives()
    if alive is None:  # of another machine, whose clock may be another
        with contextlib.suppress(FileNotFoundError):
            alive = abs(time.time() - path.stat().st_mtime) < PATIENCE
    return other if alive else None


def _describe(other: Claimant | None) -> str:
    """Describe another training in words."""
    return "a program that is not known" if other is None else str(other)


def _refusal_message(path: Path, other: Claimant | None) -> str:
    """Return the error that names who trains in a folder, and what to do."""
    return (
        f"{path.parent} must be trained in by one program at a time, got {_describe(other)}: wait "
        f"until that ends, end it with SIGTERM, or give another --out"
    )


def _waiting_message(path: Path, other: Claimant | None) -> str:
    """Return the line for the wait where nobody can ask whether the other process lives."""
    return (
        f"{path.parent} was in use by {_describe(other)}, of another machine or "
        f"container: waiting for a sign of life"
    )


def _last_heartbeat(path: Path) -> tuple[int, float]:
    """Return the time of the last sign of life in ns, and its age in s, by the disk's clock."""
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


def _is_hidden(pid: int) -> bool:
    """Check for a process of another user, which the system may not show."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False
