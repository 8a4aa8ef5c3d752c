"""`dilo-prep`: options to tasks, outcomes to words and exit status."""

import click

from dilo.pipeline.cli import backgrounds, doctor, masks, pack, stores
from dilo.pipeline.cli.options import Program


@click.group(cls=Program)
@click.version_option(package_name="dilo", prog_name="dilo-prep")
def main() -> None:
    """Compute saliency masks for a folder of images, once, into shards that training streams.

    Results go to standard output, as text or, with --json, as JSON alone. Progress, notes and
    warnings go to standard error.

    \b
    Exit status of every command:
      0   done
      1   done, but images failed and --strict was given, or verify or doctor found faults
      2   wrong command line
      3   failed; the message says why and what to do
      70  a bug in dilo; the message says what to report
    """


for command in (
    masks.masks,
    masks.import_masks,
    backgrounds.backgrounds,
    pack.pack,
    stores.status,
    stores.verify,
    stores.preview,
    stores.export,
    doctor.doctor,
):
    main.add_command(command)
