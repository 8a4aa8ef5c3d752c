"""How far a campaign is: what each command came to, by the files that it left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.textfiles import read_json, read_text
from dilo.pipeline.errors import ContentError, require_access
from dilo.train.campaign.commands import Command, Run
from dilo.train.engine.checkpoint import list_checkpoints
from dilo.train.engine.claim import Claimant, holder
from dilo.train.monitor.run_info import read_run_info

#: "running" is for a run that a process has, whatever it does of it.
State = Literal["done", "missing", "failed", "running"]
STATES: Final[tuple[State, ...]] = ("done", "running", "failed", "missing")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended."""

    #: That decided its result.
    options: Mapping[str, Any]
    #: Exit status; negative where a signal killed it.
    status: int
    #: Steps of the training that it was of.
    steps: int
    #: Why it failed, in a line; empty where it did not.
    reason: str


@dataclass(frozen=True)
class TrainingState:
    """What dilo-train leaves in the file ``state`` of a run."""

    #: "running", "preempted", "stopped", "done" or "failed"; empty where there is none.
    word: str
    #: When it was written, in ns.
    time: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    run: Run
    #: By the name of each command.
    states: Mapping[str, State]
    #: Of those that failed, why, in a line.
    reasons: Mapping[str, str]
    #: Share of the training whose steps a checkpoint holds; None where nothing is known.
    share: float | None
    #: Who works on it now.
    holder: Claimant | None

    @property
    def state(self) -> State:
        """Sum up the states of its commands."""
        if self.holder is not None:
            return "running"
        states = set(self.states.values())
        return "failed" if "failed" in states else "missing" if "missing" in states else "done"

    def to_do(self) -> list[Command]:
        """List the commands that are not done."""
        return [c for c in self.run.commands() if self.states[c.name] != "done"]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "run": self.run.name,
            "arm": self.run.arm,
            "seed": self.run.seed,
            "folder": str(self.run.folder),
            "state": self.state,
            "share": self.share,
            "commands": [
                {
                    "name": command.name,
                    "command": command.line(),
                    "state": self.states[command.name],
                    "reason": self.reasons.get(command.name),
                    "log": str(log_path(self.run.logs, command)),
                }
                for command in self.run.commands()
            ],
        }


def progress_of(run: Run) -> Progress:
    """Read how far a run is."""
    states: dict[str, State] = {}
    reasons: dict[str, str] = {}
    trained = False
    for command in run.commands():
        outcome = read_outcome(run.logs, command)
        if outcome is None or outcome.options != command.options:
            states[command.name] = "missing"
        elif outcome.status:
            states[command.name], reasons[command.name] = "failed", outcome.reason
        elif command is run.train:
            trained = state_of(run).word == "done"
            states[command.name] = "done" if trained else "missing"
        else:
            # Of a training that was extended since, it has to be measured again.
            is_done = trained and outcome.steps == steps_of(run)
            states[command.name] = "done" if is_done else "missing"
    return Progress(
        run=run,
        states=states,
        reasons=reasons,
        share=_share(run),
        holder=holder(run.logs) or holder(run.folder),
    )


def log_path(logs: Path, command: Command) -> Path:
    """Name the file of what a command says."""
    return logs / f"{command.name}.log"


def read_outcome(logs: Path, command: Command) -> Outcome | None:
    """Read how a command ended; None where it has not, or the file says nothing of use."""
    path = _outcome_path(logs, command)
    try:
        content = read_json(path)
        return Outcome(**{key: content[key] for key in Outcome.__dataclass_fields__})
    except FileNotFoundError:
        return None
    except (ContentError, OSError, KeyError, TypeError) as error:
        require_access(error, path)
        return None


def write_outcome(
    logs: Path, command: Command, *, status: int, steps: int, seconds: float, reason: str
) -> None:
    """Leave how a command ended, where `read_outcome` finds it."""
    content = {
        "command": command.line(),
        "options": command.options,
        "status": status,
        "steps": steps,
        "seconds": round(seconds, 1),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": reason,
    }
    write_text(_outcome_path(logs, command), json.dumps(content, indent=2) + "\n")


def forget_outcome(logs: Path, command: Command) -> None:
    """Remove how a command ended before it is started again."""
    _outcome_path(logs, command).unlink(missing_ok=True)


def steps_of(run: Run) -> int:
    """Read how many steps the whole training of a run has; 0 where it does not say."""
    steps = read_run_info(run.folder).get("steps")
    return steps if isinstance(steps, int) else 0


def state_of(run: Run) -> TrainingState:
    """Read the word that dilo-train leaves for scripts."""
    path = run.folder / "state"
    try:
        return TrainingState(read_text(path).strip(), path.stat().st_mtime_ns)
    except FileNotFoundError:
        return TrainingState("", 0)
    except (ContentError, OSError) as error:
        require_access(error, path)
        return TrainingState("", 0)


def _outcome_path(logs: Path, command: Command) -> Path:
    """Name the file of how a command ended."""
    return logs / f"{command.name}.json"


def _share(run: Run) -> float | None:
    """Tell which share of the training's steps the newest checkpoint holds."""
    steps, checkpoints = steps_of(run), list_checkpoints(run.folder)
    return checkpoints[0][0] / steps if steps and checkpoints else None
