"""What the commands of all three programs share: options, words, and errors as sentences."""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from dilo.pipeline.errors import DiloError
from dilo.pipeline.printing import printable

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
#: Where, and in what, a network computes.
DEVICE = click.Choice(["auto", "cpu", "cuda"])
PRECISION = click.Choice(["fp32", "bf16", "fp16"])
Command = TypeVar("Command", bound=Callable[..., None])

#: How many failed images are named on a terminal; --json names all.
NAMED = 10

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
)


def _workers(ctx: click.Context, parameter: click.Parameter, value: int) -> int:
    """Refuse no workers."""
    if value == 0:
        raise click.BadParameter("0 workers do nothing; -1 is one a core")
    return value


jobs_option = click.option(
    "--jobs",
    default=-1,
    show_default="one a core",
    callback=_workers,
    help="Workers, as joblib counts them: -2 leaves one core free.",
)


class Failure(click.ClickException):
    """Something that a user can mend, at the command line: the sentence, and status 3."""

    exit_code = 3

    def show(self, file: Any = None) -> None:
        """Print the sentence without click's usage lines."""
        say(f"Error: {self.message}")


def open_streams() -> None:
    """Give a program that was started without standard streams some that lead nowhere.

    Otherwise the next files that it opens would be taken for them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one; for the workers as well.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let what batch systems send before they kill, and a closed terminal, end as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(name) is signal.SIG_DFL:  # nohup, for one, ignores it: so do we
                before[name] = signal.signal(name, interrupt)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def user_errors(command: Command) -> Command:
    """Turn what a user can mend into `Failure`, and an interrupt into a word on resuming."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            with _interruptible():
                command(*args, **kwargs)
        except DiloError as error:
            raise Failure(str(error)) from error
        except KeyboardInterrupt:
            raise Failure("stopped; give the same command to go on") from None
        except OSError as error:
            # A full disk, a folder that cannot be written: h5py's errors name no file.
            where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Failure(f"{where}: finished work is kept") from error

    return wrapped  # type: ignore[return-value]  # same signature, which wraps() keeps


def settings_of(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[str, Any]:
    """Read NAME=VALUE, the value being a number, a list, true, false or else a word."""
    settings = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"must be NAME=VALUE, got {word!r}")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings


def say(line: str) -> None:
    """Print words for people, on standard error; a log that is full or closed ends no work."""
    with contextlib.suppress(OSError):
        click.echo(printable(line), err=True)


def grouped(
    argument: str, make: Callable[..., Any], options: dict[str, Callable[[Any], Any]]
) -> Callable[[Command], Command]:
    """Give a command some options, by the names of their values, as one argument made of them."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            group = make(**{name: values.pop(name) for name in options})
            command(**{argument: group}, **values)

        for option in reversed(options.values()):
            option(wrapped)
        return wrapped  # type: ignore[return-value]  # its options replace the one argument

    return decorate
