"""`dilo-train`: a group that trains where no subcommand is given."""

import click

from dilo.pipeline.cli.options import json_option, user_errors
from dilo.train.cli.campaign import campaign
from dilo.train.cli.doctor import doctor
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
    subcommand_metavar="[campaign FILE | doctor | plot [NAME=]RUN ... | saliency]",
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

    Needs --images, --recipe and, to train, --out RUN. Training can be interrupted at any
    time: the same command resumes from the newest checkpoint, with the same steps as without
    the interruption. RUN/checkpoints holds the newest two checkpoints and the untrained
    network; RUN/metrics.jsonl the losses; RUN/recipe.toml every setting; RUN/run.json the
    machine and versions. `dilo-train plot` draws the curves. `dilo-train campaign` trains and
    evaluates many runs by one file. `dilo-train saliency` trains a network that makes masks.

    Results go to standard output, as text or, with --json, as JSON alone. Progress, notes and
    warnings go to standard error.

    \b
    Exit status:
      0   done, or --max-minutes reached
      2   wrong command line
      3   failed; the message says why and what to do
      70  a bug in dilo; the message says what to report
      75  interrupted by a signal; a checkpoint is written: the same command resumes
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        from dilo.train.cli.train import run

        ctx.exit(run(data, computing, keeping, watching, action, as_json=as_json))


main.add_command(campaign)
main.add_command(doctor)
main.add_command(plot)
main.add_command(saliency)
