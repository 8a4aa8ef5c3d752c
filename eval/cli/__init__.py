"""`dilo-eval`: the group of its commands, a file each."""

import click

from dilo.eval.cli import (
    backgrounds,
    detect,
    export,
    features,
    gradients,
    knn,
    linear,
    localize,
    neighbors,
    report,
    saliency,
    table,
)
from dilo.pipeline.cli.options import Program


@click.group(cls=Program)
@click.version_option(package_name="dilo", prog_name="dilo-eval")
def main() -> None:
    """Evaluate checkpoints and masks, in numbers and pictures.

    \b
    Exit status of every command:
      0   done
      2   the command line is wrong
      3   could not continue; the message says why and what to do
      70  a bug of dilo; the message says what to report
    `linear` and `detect`: 75, interrupted by a signal; the same command resumes
    """


for _module in (
    backgrounds,
    detect,
    export,
    features,
    gradients,
    knn,
    linear,
    localize,
    neighbors,
    report,
    saliency,
    table,
):
    main.add_command(_module.command)
