"""`dilo-train`: a group that trains where no subcommand is given."""

import click

from dilo.pipeline.cli.options import json_option, user_errors
from dilo.train.cli.mistyped import PretrainingProgram
from dilo.train.cli.options import (
    Action,
    Computing,
    DataOptions,
    Keeping,
    Watching,
    action_options,
    computing_options,
    data_options,
    keeping_options,
    watching_options,
)
from dilo.train.cli.plot import plot
from dilo.train.cli.saliency import saliency


@click.group(
    cls=PretrainingProgram,
    invoke_without_command=True,
    no_args_is_help=True,
    subcommand_metavar="[plot RUN [RUN ...] | saliency]",
)
@click.version_option(package_name="dilo", prog_name="dilo-train")
@data_options
@computing_options
@keeping_options
@watching_options
@action_options
@json_option
@user_errors
def main(
    data: DataOptions,
    computing: Computing,
    keeping: Keeping,
    watching: Watching,
    action: Action,
    as_json: bool,
) -> None:
    """Pretrain a network on a folder of images by a recipe, with their masks for copy-paste.

    Needs --images, --recipe and, to train, --out RUN. Stop it as you like: the same command
    goes on from the last checkpoint, and takes the very steps that it would have taken.
    RUN/checkpoints holds the newest two and the network before training; RUN/metrics.jsonl
    the losses; RUN/recipe.toml every setting; RUN/run.json what it ran on. `dilo-train plot`
    draws the curves. `dilo-train saliency` trains a network that makes masks.

    \b
    Exit status:
      0   done, or --max-minutes are over
      2   the command line is wrong
      3   could not go on; the message says why and what to do
      70  a bug of dilo; the message says what to report
      75  preempted: a signal came, a checkpoint was written; the same command goes on
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        from dilo.train.cli.train import run

        ctx.exit(run(data, computing, keeping, watching, action, as_json=as_json))


main.add_command(plot)
main.add_command(saliency)
