"""`dilo-train plot`: the curves of runs, as a picture."""

from pathlib import Path

import click

from dilo.pipeline.cli.options import EXISTING, out_option, print_result, user_errors
from dilo.pipeline.common.extras import require
from dilo.pipeline.common.printing import counted
from dilo.train.cli.options import PICTURE


@click.command()
@click.argument("runs", nargs=-1, required=True, type=EXISTING, metavar="RUN [RUN ...]")
@out_option(type=PICTURE, required=True, help="Picture to write: FILE.png.")
@user_errors
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Draw the training curves of one or several runs.

    Loss, accuracy of the contrastive task, kNN accuracy, scores of masks, learning rate, images
    per second and time waiting for data, as far as they are recorded; also during training.
    """
    require("dilo-train plot", ("matplotlib",), "eval")
    from dilo.train.monitor.plot import plot_runs

    plot_runs(runs, out)
    print_result([f"{out}: {counted(len(runs), 'run')}"])
