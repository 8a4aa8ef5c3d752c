"""`dilo-train plot`: the curves of runs, as a picture."""

from pathlib import Path

import click

from dilo.pipeline.cli.naming import named_paths, split_name
from dilo.pipeline.cli.options import out_option, print_result, user_errors
from dilo.pipeline.common.extras import require
from dilo.pipeline.common.printing import counted
from dilo.train.cli.options import PICTURE


def _named_runs(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[list[Path], list[str] | None]:
    """Read [NAME=]RUN; where no run has a name, plot names them by what differs between them."""
    if any(split_name(value, Path.is_dir)[0] is not None for value in values):
        named = named_paths(values, "RUN")
        return [path for _, path in named], [name for name, _ in named]
    return [path for value in values for _, path in named_paths([value], "RUN")], None


@click.command()
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(file_okay=False),
    metavar="[NAME=]RUN ...",
    callback=_named_runs,
)
@out_option(type=PICTURE, required=True, help="Picture to write: FILE.png.")
@user_errors
def plot(runs: tuple[list[Path], list[str] | None], out: Path) -> None:
    """Draw the training curves of one or several runs.

    Loss, accuracy of the contrastive task, kNN accuracy, scores of masks, learning rate, images
    per second and time waiting for data, as far as they are recorded; also during training.
    Without names, the legend shows what differs between the recipes.
    """
    require("dilo-train plot", ("matplotlib",), "eval")
    from dilo.train.monitor.plot import plot_runs

    folders, names = runs
    plot_runs(folders, out, names)
    print_result([f"{out}: {counted(len(folders), 'run')}"])
