"""`dilo-train`, and `python -m dilo.train` for torchrun."""

import sys

from dilo.pipeline.common.startup import begin_program


def main() -> None:
    """Run dilo-train, or say which extra it needs."""
    begin_program()
    from dilo.pipeline.common.extras import require_torch

    require_torch("dilo-train")
    from dilo.train.cli import main as command

    try:
        command(prog_name="dilo-train")
    except SystemExit as end:
        _leave_others(end.code)
        raise


def _leave_others(status: object) -> None:
    """End at once after an error among several processes, which else would wait for each other."""
    if "torch" in sys.modules:
        from dilo.train.runtime import distributed

        if distributed.is_joined():
            distributed.leave(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    main()
