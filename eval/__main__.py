"""`dilo-eval`, and `python -m dilo.eval`."""

from dilo.eval.cli import main as command


def main() -> None:
    """Run dilo-eval; a command that needs an extra says so itself."""
    command(prog_name="dilo-eval")


if __name__ == "__main__":
    main()
