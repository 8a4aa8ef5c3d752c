"""`dilo-prep`, and `python -m dilo.pipeline`."""

from dilo.pipeline.common.startup import begin_program


def main() -> None:
    """Run dilo-prep."""
    begin_program()
    from dilo.pipeline.cli import main as command

    command(prog_name="dilo-prep")


if __name__ == "__main__":
    main()
