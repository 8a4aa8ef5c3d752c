"""The commands of a campaign, as a user would type them: a training a run, and its evaluations."""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dilo.pipeline.common.textfiles import parse_toml
from dilo.pipeline.errors import ContentError
from dilo.train.campaign.file import SET, Campaign, Evaluation, Options

#: The packages behind the programs, which ``python -m`` starts.
PACKAGES: Final = {"dilo-train": "dilo.train", "dilo-eval": "dilo.eval"}
#: Options that say how a machine computes, and change no result: with others, what was done stays.
MACHINE: Final = frozenset(("workers", "device"))
#: Commands of dilo-eval that several processes share.
SHARED: Final = frozenset(("linear",))
#: What is made of all runs: a command of dilo-eval, and its folder.
TABLE, REPORT = "table", "report"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line of one of the programs."""

    #: What it does: "train", or the name of an evaluation.
    name: str
    program: str
    words: Sequence[str]
    #: What decides its result, to tell whether what was done is what is wanted.
    options: dict[str, Any] = field(default_factory=dict)
    #: Processes that torchrun starts; 1 for none of it.
    processes: int = 1

    def line(self) -> str:
        """Write it as a user would type it."""
        words = [self.program]
        if self.processes > 1:
            words = ["torchrun", "--nproc-per-node", str(self.processes)]
            words += ["-m", PACKAGES[self.program]]
        return shlex.join([*words, *self.words])

    def argv(self) -> list[str]:
        """Return the words that start it, by this very Python."""
        python = [sys.executable, "-P", "-m"]
        if self.processes > 1:
            python += ["torch.distributed.run", "--nproc-per-node", str(self.processes), "-m"]
        return [*python, PACKAGES[self.program], *self.words]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a campaign, and what is measured of it."""

    arm: str
    seed: int
    #: As dilo-train leaves it.
    folder: Path
    #: What its commands said, and how they ended.
    logs: Path
    train: Command
    evaluations: Sequence[Command]

    @property
    def name(self) -> str:
        """Name it by its arm and its seed."""
        return self.folder.name

    def commands(self) -> Sequence[Command]:
        """List all its commands, in their order."""
        return [self.train, *self.evaluations]


def runs_of(campaign: Campaign, out: Path, processes: int = 1) -> list[Run]:
    """List the runs of a campaign, those of the first seed first: so arms are compared early."""
    return [
        _run(campaign, arm, seed, out, processes)
        for seed in campaign.seeds
        for arm in campaign.arms
    ]


def _run(campaign: Campaign, arm: str, seed: int, out: Path, processes: int) -> Run:
    """Write the commands of a run."""
    name = f"{arm}-{seed}"
    folder = out / "runs" / name
    options = dict(campaign.arms[arm])
    options[SET] = {**options.get(SET, {}), "seed": seed}
    return Run(
        arm=arm,
        seed=seed,
        folder=folder,
        logs=out / "logs" / name,
        train=Command(
            name="train",
            program="dilo-train",
            words=[*option_words(options), "--out", str(folder)],
            options=_deciding(options),
            processes=processes,
        ),
        evaluations=[
            _evaluate(name, evaluation, folder, processes)
            for name, evaluation in campaign.evaluations.items()
        ],
    )


def _evaluate(name: str, evaluation: Evaluation, folder: Path, processes: int) -> Command:
    """Write the command of an evaluation of a run."""
    shared = evaluation.command in SHARED and not evaluation.options.get("fast")
    return Command(
        name=name,
        program="dilo-eval",
        words=[
            *(evaluation.command, "--checkpoint", str(folder)),
            *option_words(evaluation.options),
        ],
        options=_deciding({"command": evaluation.command, **evaluation.options}),
        processes=processes if shared else 1,
    )


def table_command(campaign: Campaign, runs: Sequence[Run], out: Path) -> Command:
    """Write the command that makes the table of some runs."""
    return _of_all(TABLE, campaign, campaign.table, runs, out)


def report_command(campaign: Campaign, runs: Sequence[Run], out: Path) -> Command:
    """Write the command that makes the page of some runs."""
    return _of_all(REPORT, campaign, campaign.report, runs, out)


def _of_all(
    name: str, campaign: Campaign, options: Options, runs: Sequence[Run], out: Path
) -> Command:
    """Write a command on several runs, those of an arm side by side."""
    folders = [str(run.folder) for arm in campaign.arms for run in runs if run.arm == arm]
    words = [name, *folders, *option_words(options), "--out", str(out / name)]
    return Command(name=name, program="dilo-eval", words=words, options={"runs": folders})


def option_words(options: Options) -> list[str]:
    """Write options as words of a command line.

    Examples
    --------
    >>> option_words({"masks": "rbd", "fast": True, "k": [1, 20], "set": {"paste.blend": "none"}})
    ['--masks', 'rbd', '--fast', '--k', '1', '--k', '20', '--set', 'paste.blend=none']
    """
    return [word for name, value in options.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> Iterator[str]:
    """Write one option; false is as if it were not there."""
    if name == SET:
        for key, item in value.items():
            yield from ("--set", f"{key}={_toml(item)}")
    elif value is True:
        yield f"--{name}"
    elif value is not False:
        for item in value if isinstance(value, list) else [value]:
            yield from (f"--{name}", str(item))


def _toml(value: Any) -> str:
    """Write a value of a recipe as --set takes it, text without quotes where it needs none."""
    if isinstance(value, str):
        try:
            parse_toml(f"value = {value}", "")
        except ContentError:
            return value
    return json.dumps(value)


def _deciding(options: Options) -> dict[str, Any]:
    """Take the options that decide a result."""
    return {name: value for name, value in options.items() if name not in MACHINE}
