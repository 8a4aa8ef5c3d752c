"""`dilo-eval`, and `python -m dilo.eval`."""

from dilo.pipeline.common.startup import begin_program


def main() -> None:
    """Run dilo-eval; a command that needs an extra says so itself."""
    begin_program()
    from dilo.eval.cli import main as command
    from dilo.train.runtime.launch import end_together

    with end_together():
        command(prog_name="dilo-eval")


if __name__ == "__main__":
    main()
