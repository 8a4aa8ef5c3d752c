"""What the commands of all three programs share: every error ends in a sentence and a status."""

import errno
from importlib import import_module

import click
import pytest
from click.testing import CliRunner
from support.cli import invoke

from dilo.eval.cli import main as evaluation
from dilo.pipeline.cli import main as preparation
from dilo.pipeline.cli.options import FOLDER, Program, jobs_option, user_errors
from dilo.pipeline.cli.run import sharding_options
from dilo.pipeline.compute.executors import run_shards
from dilo.pipeline.errors import StoreError
from dilo.train.cli import main as training


def raising(error, *options):
    """Make a program whose command raises an error, or calls what does."""

    @click.group(cls=Program)
    def program():
        pass

    @user_errors
    def work(**values):
        if callable(error) and not isinstance(error, type):
            error()
        raise error

    for option in options:
        work = option(work)
    program.command("work")(work)
    return program


def every_command():
    """Name each command of dilo-prep and dilo-eval, as a test would call it."""
    return [
        pytest.param(command, id=f"{group.name}-{name}")
        for group in (preparation, evaluation)
        for name, command in group.commands.items()
    ]


@pytest.mark.parametrize(
    "program", [preparation, training, evaluation], ids=lambda group: group.name
)
def test_the_short_option_shows_the_help_of_every_command(program):
    for words in ([], *([name] for name in program.commands)):
        shown = invoke(program, *words, "-h").stdout
        assert shown.startswith(f"Usage: {' '.join([str(program.name), *words])} ")
        assert "-h, --help" in shown
        assert shown == invoke(program, *words, "--help").stdout


@pytest.mark.parametrize(
    ("command", "former", "name"),
    [
        ("doctor", "--jobs", "--workers"),
        ("export", "--output", "--out"),
        ("backgrounds", "--response", "--max-saliency"),
    ],
)
def test_a_former_spelling_is_understood_and_not_listed(command, former, name):
    refused = invoke(preparation, command, former, status=2).stderr
    assert f"Option '{former}' requires an argument" in refused
    shown = invoke(preparation, command, "--help").stdout
    assert name in shown
    assert f"{former} " not in shown


def test_a_bug_ends_in_one_line_that_says_what_to_report_with_a_status_of_its_own():
    result = invoke(raising(KeyError("a\n\u202eb")), "work", status=70)
    assert result.stderr == (
        "Error: KeyError: 'a\\n\\u202eb': this is a bug in dilo: please report it, with the "
        "output of the same command with --debug at its end\n"
    )


def test_the_traceback_of_a_bug_is_printed_where_debug_is_asked_for():
    result = CliRunner().invoke(raising(KeyError("a")), ["work", "--debug"])
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr
    assert "raise error" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: KeyError: 'a': this is a bug")


@pytest.mark.parametrize("command", every_command())
def test_every_command_takes_debug(command):
    assert any("--debug" in parameter.opts for parameter in command.params)


def test_every_help_names_the_status_of_a_bug():
    for program in (preparation, evaluation):
        assert "70  a bug" in invoke(program, "--help").stdout


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RecursionError("deep"), "something is nested too deep to be read"),
        (MemoryError("Unable to allocate 7 EiB"), r"memory is short (Unable to allocate 7 EiB): u"),
        (RuntimeError("CUDA out of memory. Tried\nmore"), "memory is short (CUDA out of memory. T"),
        (RuntimeError("[x] DefaultCPUAllocator: can't allocate memory: y"), "memory is short ("),
        (OverflowError("int too large"), "a number is too large (int too large): "),
        (RuntimeError("Storage size calculation overflowed"), "a number is too large"),
        (
            ImportError("libcuda.so"),
            "a package cannot be imported: ImportError: libcuda.so: reinst",
        ),
        (StoreError("the store"), "the store"),
        (KeyboardInterrupt(), "interrupted; the same command resumes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_machine_cannot_do_is_a_sentence_with_status_3(error, words):
    assert invoke(raising(error), "work", status=3).stderr.startswith(f"Error: {words}")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x", "/a/b"), "/a/b: No space left on device: make room, or name"),
        (OSError(errno.EACCES, "x", "/a/b"), "/a/b: Permission denied: this user has no right"),
        (OSError(errno.ENOENT, "x", b"/a\xff"), "/a\\udcff: No such file or directory: is the pa"),
        (OSError(errno.ESHUTDOWN, "x", "/a"), "/a: Cannot send after transport endpoint shutdown"),
        (OSError(errno.EPIPE, "x"), "standard output: Broken pipe: the program that reads"),
        (OSError(errno.EIO, "x"), "a file: Input/output error: the disk does not answer"),
        (
            OSError("Unable to open (name = 'a.h5', errno = 13, error message = 'no', flags = 0)"),
            "a.h5: Permission denied: this user has no right",
        ),
    ],
)
def test_an_error_of_the_system_has_a_path_and_a_remedy(error, words):
    said = invoke(raising(error), "work", status=3).stderr
    assert said.startswith(f"Error: {words}")
    assert "finished work" not in said


def test_finished_work_is_said_to_be_kept_only_where_it_is(tmp_path):
    out = tmp_path / "out"
    program = raising(OSError(errno.ENOSPC, "x"), click.option("--out", type=FOLDER))
    kept = "No space left on device: make room, or name a folder on another disk"
    assert invoke(program, "work", "--out", out, status=3).stderr == f"Error: {out}: {kept}\n"
    out.mkdir()
    (out / "shard").touch()
    said = invoke(program, "work", "--out", out, status=3).stderr
    assert said == f"Error: {out}: {kept}; finished work is kept\n"


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ((sharding_options,), "give --backend threading, or mount"),
        ((click.option("--workers", type=int),), "give --workers 0, or mount"),
        ((jobs_option,), ": mount a tmpfs there"),
    ],
)
def test_shared_memory_that_cannot_be_written_is_named_with_what_does_without(
    options, remedy, monkeypatch
):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    module = import_module("joblib.externals.loky.backend.synchronize")
    monkeypatch.setattr(module, "_SemLock", refuse)
    program = raising(lambda: list(run_shards(int, range(2), jobs=2)), *options)
    said = invoke(program, "work", status=3).stderr
    assert said.startswith("Error: /dev/shm: Read-only file system: processes cannot share memory")
    assert remedy in said


def test_shared_memory_in_the_words_of_torch_is_named_too():
    words = "unable to open shared memory object </torch_1> in read-write mode: Read-only (30)"
    program = raising(RuntimeError(words), click.option("--workers", type=int))
    said = invoke(program, "work", status=3).stderr
    assert said.startswith("Error: /dev/shm: RuntimeError: unable to open shared memory object")
    assert "give --workers 0" in said


def test_what_fails_before_a_command_begins_is_told_alike():
    @click.group(cls=Program)
    def program():
        raise ZeroDivisionError

    program.command("work")(lambda: None)
    assert "ZeroDivisionError: this is a bug" in invoke(program, "work", status=70).stderr

    def callback(ctx, parameter, value):
        raise RecursionError

    option = click.option("--x", callback=callback)
    assert "nested too deep" in invoke(raising(KeyError, option), "work", status=3).stderr


def test_wrong_usage_is_shown_without_the_orders_of_a_word(tmp_path):
    path = tmp_path / "\u202egpj\x1b[2J"
    said = invoke(preparation, "status", path, status=2).stderr
    assert "\\u202egpj\\x1b[2J" in said
    assert "\u202e" not in said


def test_statuses_of_commands_are_their_own():
    for status in (0, 1, 75):
        assert invoke(raising(SystemExit(status)), "work", status=status).stderr == ""
        assert invoke(raising(click.exceptions.Exit(status)), "work", status=status).stderr == ""
    invoke(raising(click.UsageError("no")), "work", status=2)


@pytest.mark.parametrize(
    ("value", "words"), [("[" * 200_000, "nested too deep"), ("9" * 5000, "must be below 2")]
)
def test_a_setting_that_no_program_can_read_is_wrong_usage(tmp_path, value, words):
    (tmp_path / "images").mkdir()
    arguments = ("masks", "--images", tmp_path / "images", "--out", tmp_path / "out")
    result = invoke(preparation, *arguments, "--set", f"superpixels={value}", status=2)
    assert words in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--workers", "1000000"), "'--workers': must be at most 4096, got 1000000"),
        (("--size", str(10**30)), "'--size': must be at most 4096, got 1000000"),
        (("--limit", str(2**80)), "'--limit': must be at most 18446744073709551615, got 12089"),
        (("--rate", "nan"), "'--rate': must be finite, got nan"),
        (("--rate", "inf"), "'--rate': must be finite, got inf"),
        (("--limit", "1", "--limit", "9" * 30), "'--limit': must be at most"),
        (("--limit", "9" * 5000), "'--limit': "),
    ],
)
def test_a_number_that_no_machine_could_use_is_wrong_usage(words, said):
    options = [
        click.option("--workers", type=int),
        click.option("--size", type=int),
        click.option("--limit", type=int, multiple=True),
        click.option("--rate", type=click.FloatRange(min=0)),
    ]
    program = raising(StoreError("begun"), *options)
    assert said in invoke(program, "work", *words, status=2).stderr
    invoke(program, "work", "--size", 4096, "--rate", 0.5, "--limit", 2**64 - 1, status=3)


@pytest.mark.parametrize("number", ["0", "9" * 5000, "many"])
def test_a_number_of_tasks_that_no_array_has_is_wrong_usage(tmp_path, number):
    (tmp_path / "images").mkdir()
    arguments = ("masks", "--images", tmp_path / "images", "--out", tmp_path / "out")
    result = invoke(preparation, *arguments, "--num-tasks", number, status=2)
    assert "must be a number from 1 to 999999999, or auto" in result.stderr
