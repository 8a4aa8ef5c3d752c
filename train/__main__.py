"""`dilo-train`, and `python -m dilo.train` for torchrun."""

from dilo.pipeline.common.startup import begin_program


def main() -> None:
    """Run dilo-train, or say which extra it needs."""
    begin_program()
    from dilo.pipeline.common.extras import require_torch

    require_torch("dilo-train")
    from dilo.train.cli import main as command
    from dilo.train.runtime.launch import end_together

    with end_together():
        command(prog_name="dilo-train")


if __name__ == "__main__":
    main()
