"""`dilo-train plot`: the curves of runs, as a picture."""

from pathlib import Path

import click

from dilo.pipeline.cli.options import EXISTING, print_result, user_errors
from dilo.pipeline.common.extras import require
from dilo.pipeline.common.printing import counted
from dilo.train.cli.options import PICTURE


@click.command()
@click.argument("runs", nargs=-1, required=True, type=EXISTING, metavar="RUN [RUN ...]")
@click.option("--out", type=PICTURE, required=True, help="The picture to write: FILE.png.")
@user_errors
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Draw the curves of one or several runs over their epochs, one colour a run.

    Loss, accuracy of the contrastive task, kNN read-out, scores of masks, learning rate, images
    a second and waiting for data: as far as a run has recorded them, also while it trains.
    """
    require("dilo-train plot", ("matplotlib",), "eval")
    from dilo.train.monitor.plot import plot_runs

    plot_runs(runs, out)
    print_result([f"{out}: {counted(len(runs), 'run')}"])
