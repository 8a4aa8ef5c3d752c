"""What the commands of all three programs share: options, output, and errors as sentences."""

import contextlib
import functools
import json
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from dilo.pipeline.common.foreseen import one_line, sentence_of
from dilo.pipeline.common.printing import printable
from dilo.pipeline.common.textfiles import parse_json
from dilo.pipeline.errors import AccessError, ContentError, DiloError

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
#: Where, and in what, a network computes.
DEVICE = click.Choice(["auto", "cpu", "cuda"])
PRECISION = click.Choice(["auto", "fp32", "bf16", "fp16"])
Command = TypeVar("Command", bound=Callable[..., None])

#: What no machine that exists could use of an option, in any command: a value beyond is a slip.
MAX_VALUES = {
    "--workers": 4096,
    "--threads": 4096,
    "--size": 4096,
    "--batch": 2**20,
    "--accumulate": 2**20,
}
#: What the context of a command holds where --debug was given.
_DEBUG = "dilo.debug"
#: How many failed images are named on a terminal; --json names all.
MAX_LISTED = 10

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    help="Print the result as JSON, in place of text.",
)


class AliasedOption(click.Option):
    """An option with other spellings that work too, but that --help does not list."""

    def __init__(self, *args: Any, aliases: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.aliases = list(aliases)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Add the option under every spelling."""
        listed = self.opts
        self.opts = [*listed, *self.aliases]
        super().add_to_parser(parser, ctx)
        self.opts = listed


def out_option(**more: Any) -> Callable[[Any], Any]:
    """Make --out, which says where a command writes."""
    return click.option("--out", cls=AliasedOption, aliases=["--output"], **more)


def _nonzero(ctx: click.Context, parameter: click.Parameter, value: int) -> int:
    """Refuse 0 workers."""
    if value == 0:
        raise click.BadParameter("0 workers do nothing: -1 starts one for each core")
    return value


jobs_option = click.option(
    "--workers",
    "jobs",
    cls=AliasedOption,
    aliases=["--jobs"],
    type=int,
    default=-1,
    metavar="N",
    show_default="one for each core",
    callback=_nonzero,
    help="Number of worker processes; -2 leaves one core free.",
)


class UserError(click.ClickException):
    """Something that a user can mend, at the command line: the sentence, and status 3."""

    exit_code = 3

    def show(self, file: Any = None) -> None:
        """Print the sentence without click's usage lines."""
        say(f"Error: {self.message}")


class _Unforeseen(UserError):
    """A bug, in one line, with a status of its own: 1 says that images failed."""

    exit_code = os.EX_SOFTWARE

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"{one_line(error)}: this is a bug in dilo: please report it, with the output of the "
            f"same command with --debug at its end"
        )


def _open_streams() -> None:
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


def _debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Record --debug in the context, for whoever shows an error."""
    if value:
        ctx.meta[_DEBUG] = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_debug,
    help="If the command fails, also print the traceback.",
)


def user_errors(command: Command) -> Command:
    """Turn what a user can mend into `UserError`, an interrupt into a word on resuming.

    What nobody foresaw becomes `_Unforeseen`; the option --debug shows where it came from.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        ctx = click.get_current_context(silent=True)
        debug = ctx is not None and _DEBUG in ctx.meta
        with _sentences(debug=debug, out=_output_path(kwargs)), _interruptible():
            if ctx is not None:
                _require_usable(ctx)
            command(*args, **kwargs)

    return debug_option(wrapped)  # type: ignore[return-value]  # same signature, by wraps()


def _require_usable(ctx: click.Context) -> None:
    """Refuse numbers of options that no machine could use; a FloatRange lets NaN pass."""
    for option in ctx.command.params:
        values = ctx.params.get(option.name or "")
        maximum = next((MAX_VALUES[word] for word in option.opts if word in MAX_VALUES), 2**64 - 1)
        for value in values if isinstance(values, tuple) else (values,):
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not math.isfinite(value):
                raise click.BadParameter(f"must be finite, got {value}", ctx, option)
            if abs(value) > maximum:
                raise click.BadParameter(f"must be at most {maximum}, got {value}", ctx, option)


@contextlib.contextmanager
def _sentences(*, debug: bool, out: Path | None = None) -> Iterator[None]:
    """Turn every error into what click prints in a line; its own go on as they are."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        raise UserError("interrupted; the same command resumes") from None
    except Exception as error:
        if debug:
            say("".join(traceback.format_exception(error)).rstrip())
        raise _as_user_error(error, out) from error


def _as_user_error(error: Exception, out: Path | None) -> UserError:
    """Turn an error into one for users: its sentence, and what is kept."""
    if isinstance(error, DiloError) and not isinstance(error, AccessError):
        return UserError(str(error))
    sharing_advice = _no_sharing_advice()
    is_access_error = isinstance(error, AccessError)
    sentence = (
        str(error)
        if is_access_error
        else sentence_of(error, sharing_advice=sharing_advice, out=out)
    )
    if sentence is None:
        return _Unforeseen(error)
    # Of an output that is gone, or was never begun, nothing is kept.
    return UserError(f"{sentence}; finished work is kept" if out and _has_output(out) else sentence)


def _output_path(values: Mapping[str, Any]) -> Path | None:
    """Find where a command writes: its --out, alone or in a group of options."""
    for value in (values.get("out"), *(getattr(group, "out", None) for group in values.values())):
        if isinstance(value, Path):
            return value
    return None


def _has_output(out: Path) -> bool:
    """Check whether a folder is there with something in it, or the parts of a file."""
    for folder in (out, out.with_name(f".{out.name}.parts")):
        with contextlib.suppress(OSError):
            if any(folder.iterdir()):
                return True
    return False


def _no_sharing_advice() -> str:
    """Return how the current command does without shared memory, by the options it has."""
    ctx = click.get_current_context(silent=True)
    options = {word: option for option in ctx.command.params for word in option.opts} if ctx else {}
    if "--backend" in options:
        return "give --backend threading, or "
    workers = options.get("--workers")
    # Where 0 is not refused, it starts no process.
    can_be_zero = isinstance(workers, click.Option) and workers.callback is not _nonzero
    return "give --workers 0, or " if can_be_zero else ""


class Program(click.Group):
    """A group of commands that ends in a sentence and a status, whatever happens within."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # Commands have the words of their group.
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        """Run, and exit; click's own errors are printed without the orders of a file, too."""
        if not more.get("standalone_mode", True):
            return super().main(args, *rest, **more)
        arguments = sys.argv[1:] if args is None else list(args)
        _open_streams()
        # Where memory cannot be shared; whoever needs to says it, with the remedy.
        warnings.filterwarnings("ignore", ".*joblib will operate in serial mode")
        debug = "--debug" in arguments
        if not debug and sys.unraisablehook is sys.__unraisablehook__:
            # Half-built loaders complain when they are cleared away, at the very end: the error
            # itself says more.
            sys.unraisablehook = lambda _: None
        try:
            with _sentences(debug=debug):
                status = super().main(arguments, *rest, **{**more, "standalone_mode": False})
            sys.exit(status if isinstance(status, int) else 0)
        except click.ClickException as error:
            vars(error)["message"] = printable(error.message)
            with _unheard_if_full():
                error.show()
            sys.exit(error.exit_code)
        except click.Abort:  # Ctrl-C before a command began
            UserError("interrupted; the same command resumes").show()
            sys.exit(UserError.exit_code)


def settings_of(
    ctx: click.Context, parameter: click.Parameter, assignments: tuple[str, ...]
) -> dict[str, Any]:
    """Read NAME=VALUE, the value being a number, a list, true, false or else a word."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"must be NAME=VALUE, got {assignment!r}")
        try:
            settings[name] = parse_json(value, name)
        except ContentError as error:
            if isinstance(error.__cause__, json.JSONDecodeError):
                settings[name] = value
                continue
            raise click.BadParameter(str(error)) from error
    return settings


def say(line: str) -> None:
    """Print words for people, on standard error."""
    with _unheard_if_full():
        click.echo(printable(line), err=True)


@contextlib.contextmanager
def _unheard_if_full() -> Iterator[None]:
    """Write to standard error: one that is full or closed ends no work, and changes no status."""
    try:
        yield
    except OSError:
        _lead_nowhere(sys.stderr)


def _lead_nowhere(stream: Any) -> None:
    """Drop what a stream cannot write: Python would try again at the end, and exit with 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # one of a test has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def print_result(lines: Iterable[str], record: object = None, *, as_json: bool = False) -> None:
    """Print the result of a command on standard output: as text, or the record as JSON instead."""
    texts = [json.dumps(record)] if as_json else [printable(line) for line in lines]
    encoding = sys.stdout.encoding or "utf-8"
    try:
        for text in texts:  # not every encoding has every letter of a file's name
            click.echo(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        _lead_nowhere(sys.stdout)
        error.filename = "standard output"
        raise


def option_group(
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


query_option = click.option(
    "--query",
    multiple=True,
    metavar="PATH",
    help="Show this image: its path, or its path below --images. May be repeated.",
)
