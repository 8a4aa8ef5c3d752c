"""Run the three programs as a user would, and show each command."""

import importlib
import shlex
import subprocess
import sys
from typing import Any

Program = subprocess.Popen[str]

PACKAGES = {"dilo-prep": "pipeline", "dilo-train": "train", "dilo-eval": "eval"}


def run(program: str, *arguments: object, **process: Any) -> str:
    """Run one of the three programs to its end, and give its standard output."""
    return finish(start(program, *arguments, **process))


def start(program: str, *arguments: object, **process: Any) -> Program:
    """Show a command of one of the three programs, and start it, as `subprocess.Popen` takes it."""
    command = [sys.executable, "-m", f"dilo.{PACKAGES[program]}", *show(program, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **process)


def finish(program: Program) -> str:
    """Wait for a program, and end with it if it failed."""
    output, _ = program.communicate()
    if program.returncode:
        sys.exit(program.returncode)
    return output


def call(program: str, *arguments: object) -> None:
    """Run one of the three programs in this process, which spares the seconds of its start."""
    words = show(program, arguments)
    cli = importlib.import_module(f"dilo.{PACKAGES[program]}.cli")
    try:
        cli.main(words, prog_name=program)
    except SystemExit as ended:
        if ended.code:
            raise


def show(program: str, arguments: tuple[object, ...]) -> list[str]:
    """Print a command, and give its words."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ {shlex.join([program, *words])}", flush=True)
    return words
