"""`python -m dilo.eval` is `dilo-eval`; without torch it says how to get it."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line if what it needs is installed; otherwise exit with 3."""
    if find_spec("torch") is None or find_spec("torchvision") is None:
        sys.stderr.write("dilo-eval needs torch: pip install 'dilo[train]'\n")
        raise SystemExit(3)
    from dilo.eval.cli import main as command_line

    command_line(prog_name="dilo-eval")


if __name__ == "__main__":
    main()
