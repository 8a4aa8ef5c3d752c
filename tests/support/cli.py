"""Run a click command in this process, and show everything when it ends otherwise."""

from click import Command
from click.testing import CliRunner, Result


def invoke(command: Command, *arguments: object, status: int = 0) -> Result:
    """Run, and demand an exit status."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == status, (
        f"{words} ended with {result.exit_code}\nstdout: {result.stdout}\n"
        f"stderr: {result.stderr}\nexception: {result.exception!r}"
    )
    if status not in (0, 1):
        assert "Traceback" not in result.stderr
    return result
