"""`dilo-eval`, and `python -m dilo.eval`."""

from dilo.pipeline.extras import require_torch


def main() -> None:
    """Run dilo-eval, or say which extra it needs."""
    require_torch("dilo-eval")
    from dilo.eval.cli import main as command

    command(prog_name="dilo-eval")


if __name__ == "__main__":
    main()
