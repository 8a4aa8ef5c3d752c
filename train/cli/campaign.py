"""`dilo-train campaign`: many runs by one file, and their table."""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dilo.pipeline.cli.options import (
    EXISTING,
    FOLDER,
    json_option,
    option_group,
    out_option,
    print_result,
    say,
    user_errors,
)
from dilo.pipeline.cli.run import num_tasks_option, task_id_option
from dilo.pipeline.common.printing import counted
from dilo.pipeline.common.textfiles import read_json, read_text
from dilo.pipeline.errors import DiloError, near
from dilo.train.runtime.launch import launched_ranks
from dilo.train.runtime.signals import PREEMPTED

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    from dilo.pipeline.compute.arrays import ArrayTask
    from dilo.train.campaign.commands import Command, Run
    from dilo.train.campaign.file import Campaign, Options
    from dilo.train.campaign.progress import Progress

#: Options of the programs that a campaign gives itself, or that do something else than a run.
NOT_HERE = {
    "dilo-train": {"out", "resume", "preview", "pastes", "bench", "print", "version"},
    "dilo-eval": {"checkpoint", "out"},
}
FOR_ALL = {"help", "json", "debug"}


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Which share of the runs is this process's, and on how many processes it trains."""

    processes: int
    num_tasks: int | Literal["auto"] | None
    task_id: int | None

    def task(self) -> "ArrayTask | None":
        """Return which share is this process's; None for all."""
        from dilo.pipeline.compute.arrays import current_task

        return current_task(self.num_tasks, self.task_id)


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What to print instead of running."""

    status: bool
    dry_run: bool
    missing: bool


sharing_options = option_group(
    "sharing",
    Sharing,
    {
        "processes": click.option(
            "--nproc-per-node",
            "processes",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="N",
            help="Train each run on N GPUs of this machine, by torchrun.",
        ),
        "num_tasks": num_tasks_option,
        "task_id": task_id_option,
    },
)
looking_options = option_group(
    "looking",
    Looking,
    {
        "status": click.option(
            "--status", is_flag=True, help="Only print what is done, running, failed and missing."
        ),
        "dry_run": click.option(
            "--dry-run", is_flag=True, help="Only print the commands that are to do, as a script."
        ),
        "missing": click.option(
            "--missing",
            is_flag=True,
            help="Only print the tasks that have work left, as ranges: 0-3,7; of an array of "
            "--num-tasks N, or of a task for each run.",
        ),
    },
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@out_option(type=FOLDER, required=True, help="Folder of the campaign: written, or resumed.")
@click.option(
    "--data",
    type=EXISTING,
    show_default="the folder of FILE",
    help="Folder below which relative paths in FILE are; the commands run there.",
)
@sharing_options
@looking_options
@json_option
@user_errors
def campaign(
    file: Path,
    out: Path,
    data: Path | None,
    sharing: Sharing,
    looking: Looking,
    as_json: bool,
) -> None:
    """Train and evaluate every arm of FILE with every seed, and write their table.

    FILE is a TOML file: seeds; [train], the options of dilo-train for all runs; [arms.NAME],
    those that an arm adds or replaces; [evaluate.NAME], the options of dilo-eval NAME. The runs
    go to OUT/runs, the table to OUT/table, the page of dilo-eval report to OUT/report.

    What is done is not done again, and the same command resumes what was interrupted. A run that
    fails does not stop the others. A run that another process has is passed over, so the same
    command can be started on several machines, or as a job array.

    \b
    Exit status:
      0   done, as far as other processes do not have the rest
      1   done, but a command failed; its log says why
      2   wrong command line
      3   failed; the message says why and what to do
      70  a bug in dilo; the message says what to report
      75  interrupted by a signal: the same command resumes
    """
    from dilo.train.campaign.commands import runs_of
    from dilo.train.campaign.file import load_campaign
    from dilo.train.campaign.running import require_own

    if launched_ranks() > 1:
        raise click.UsageError("campaign starts torchrun itself: give --nproc-per-node N to it")
    content = load_campaign(file)
    folder, out = (data or file.parent).resolve(), out.resolve()
    require_own(out)
    _check(content, folder)
    runs = runs_of(content, out, sharing.processes)
    if looking.missing:
        _print_missing(runs, sharing, as_json=as_json)
        return
    task = sharing.task()
    numbers = range(len(runs))
    share = [runs[number] for number in (task.select(numbers) if task else numbers)]
    if looking.status:
        _print_status(share, as_json=as_json)
    elif looking.dry_run:
        _print_commands(content, share, runs, folder, out, as_json=as_json)
    else:
        status = _run(content, share, runs, folder, out, task, as_json=as_json)
        click.get_current_context().exit(status)


def _check(content: "Campaign", folder: Path) -> None:
    """Refuse options that the programs would refuse, now and not after the first training."""
    from dilo.train.campaign.commands import option_words
    from dilo.train.campaign.file import SET
    from dilo.train.cli.train import require_no_masks
    from dilo.train.recipes import load_recipe

    programs = {name: _program(name) for name in NOT_HERE}
    with contextlib.chdir(folder):
        for name, options in content.arms.items():
            with _said_of(f"{content.source}: arms.{name}"):
                for key in ("images", "recipe"):
                    if not isinstance(options.get(key), str):
                        raise DiloError(f"{key} must be given, in [train] or in the arm, got none")
                _parse("dilo-train", programs["dilo-train"], options, [])
                changes = options.get(SET, {})
                if "seed" in changes:
                    raise DiloError("set.seed must not be given: the seeds are those of `seeds`")
                words = option_words({SET: changes})[1::2]
                recipe = load_recipe(options["recipe"], [*words, f"seed={content.seeds[-1]}"])
                if not options.get("masks"):
                    require_no_masks(recipe, options["recipe"])
        evaluations = {
            f"evaluate.{name}": (evaluation.command, evaluation.options, ["--checkpoint", "."])
            for name, evaluation in content.evaluations.items()
        }
        for_all = {"table": content.table, "report": content.report}
        evaluations |= {
            name: (name, options, [".", "--out", "out"]) for name, options in for_all.items()
        }
        for where, (command, options, more) in evaluations.items():
            with _said_of(f"{content.source}: {where}"):
                _parse("dilo-eval", _command(programs["dilo-eval"], command), options, more)


def _program(name: str) -> Any:
    """Find the commands of a program by its name, as it is started: dilo.train imports no eval."""
    from dilo.train.campaign.commands import PACKAGES

    return import_module(f"{PACKAGES[name]}.cli").main


def _command(program: click.Group, name: str) -> click.Command:
    """Find a command of dilo-eval."""
    if name not in program.commands:
        known = ", ".join(program.commands)
        raise DiloError(
            f"must be named after a command of dilo-eval, or have the key command: known are "
            f"{known}; got {name!r}{near(name, program.commands)}"
        )
    return program.commands[name]


def _parse(name: str, command: click.Command, options: "Options", more: Sequence[str]) -> None:
    """Let a command read its options, without running it."""
    from dilo.train.campaign.commands import option_words

    if others := sorted((NOT_HERE[name] | FOR_ALL) & set(options)):
        raise DiloError(f"{others[0]} must not be given: a campaign gives it where it is needed")
    command.make_context(name, [*more, *option_words(options)])


@contextlib.contextmanager
def _said_of(where: str) -> Iterator[None]:
    """Say of what is refused where it stands."""
    try:
        yield
    except click.UsageError as error:
        raise DiloError(f"{where}: {error.format_message()}") from error
    except DiloError as error:
        raise DiloError(f"{where}: {error}") from error


def _print_missing(runs: "Sequence[Run]", sharing: Sharing, *, as_json: bool) -> None:
    """Print which tasks of an array have work left."""
    from dilo.pipeline.compute.arrays import tasks_of
    from dilo.pipeline.store.status import format_ranges
    from dilo.train.campaign.progress import progress_of

    if sharing.num_tasks == "auto":
        raise click.UsageError("--missing needs the number of tasks: --num-tasks N, not auto")
    left = [number for number, run in enumerate(runs) if progress_of(run).state != "done"]
    tasks = tasks_of(left, sharing.num_tasks or len(runs))
    print_result([format_ranges(tasks)], {"tasks": tasks}, as_json=as_json)


def _print_status(runs: "Sequence[Run]", *, as_json: bool) -> None:
    """Print how far some runs are."""
    from dilo.train.campaign.progress import progress_of

    all_progress = [progress_of(run) for run in runs]
    record = {"runs": [progress.as_dict() for progress in all_progress]}
    print_result(_status_lines(all_progress), record, as_json=as_json)


def _status_lines(all_progress: "Sequence[Progress]") -> list[str]:
    """Write how far some runs are: a row a run, and below it why something failed."""
    from dilo.train.campaign.progress import STATES, log_path

    states = [progress.state for progress in all_progress]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STATES)
    lines = [f"{counted(len(states), 'run')}: {counts}"]
    width = max((len(progress.run.name) for progress in all_progress), default=0)
    for progress in all_progress:
        words = [f"{name} {state}" for name, state in progress.states.items()]
        if progress.states["train"] != "done" and progress.share is not None:
            words[0] += f" ({progress.share:.0%} are kept)"
        if progress.holder:
            words.append(f"{progress.holder}, has it")
        lines.append(f"  {progress.run.name:<{width}}  {', '.join(words)}")
        for command in progress.run.commands():
            if command.name in progress.reasons:
                lines += [
                    f"    {command.name} failed: {progress.reasons[command.name]}",
                    f"    log: {log_path(progress.run.logs, command)}",
                ]
    return lines


def _print_commands(
    content: "Campaign",
    share: "Sequence[Run]",
    runs: "Sequence[Run]",
    folder: Path,
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Print what is to do, as a script of a shell."""
    from dilo.train.campaign.commands import report_command, table_command
    from dilo.train.campaign.progress import progress_of

    to_do: list[Command] = []
    lines = [f"cd {shlex.quote(str(folder))}"]
    for run in share:
        progress = progress_of(run)
        commands = progress.to_do()
        if commands:
            lines.append(f"# {run.name}: {progress.state}")
            lines += [command.line() for command in commands]
            to_do += commands
    ending = [table_command(content, runs, out), report_command(content, runs, out)]
    lines += ["# all runs", *(command.line() for command in ending)]
    record = {"folder": str(folder), "commands": [c.line() for c in (*to_do, *ending)]}
    print_result(lines, record, as_json=as_json)


def _run(
    content: "Campaign",
    share: "Sequence[Run]",
    runs: "Sequence[Run]",
    folder: Path,
    out: Path,
    task: "ArrayTask | None",
    *,
    as_json: bool,
) -> int:
    """Run what is missing, print the table, and return the exit status."""
    from dilo.pipeline.compute.arrays import array_warning
    from dilo.train.campaign.progress import progress_of
    from dilo.train.campaign.running import Runner
    from dilo.train.runtime.signals import StopSignal

    if line := task.line() if task else array_warning():
        say(line)
    if not share:
        say(f"nothing to do: there are {counted(len(runs), 'run')}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "logs").mkdir(exist_ok=True)
    if folder != Path.cwd():
        say(f"cd {shlex.quote(str(folder))}")
    with StopSignal() as stop:
        runner = Runner(content, folder, out, say, stop)
        runner.run_all(share)
        is_summarized = not share or runner.summarize(runs)
    all_progress = [progress_of(run) for run in share]
    for line in _status_lines(all_progress):
        say(line)
    if stop.name:
        say(f"interrupted by {stop.name}: the same command resumes")
        return PREEMPTED
    table = out / "table"
    has_table = (table / "table.json").exists()
    record = {
        "runs": [progress.as_dict() for progress in all_progress],
        "table": read_json(table / "table.json") if has_table else None,
    }
    lines = read_text(table / "table.txt").splitlines() if has_table else []
    print_result(lines, record, as_json=as_json)
    failed = any(progress.state == "failed" for progress in all_progress)
    return 1 if failed or not is_summarized else 0
