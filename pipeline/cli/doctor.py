"""Commands on this machine: doctor."""

from pathlib import Path

import click

from dilo.pipeline.cli.options import jobs_option, json_option, print_result, user_errors


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@jobs_option
@json_option
@user_errors
def doctor(directory: Path, jobs: int, as_json: bool) -> None:
    """Check what would break or slow down a run with masks or images in DIR, and what to do.

    DIR need not exist, and is not created: the nearest existing folder above it is checked.
    Exits with status 1 if something would break.
    """
    from dilo.pipeline.doctor import examine

    diagnosis = examine(directory, jobs)
    print_result(diagnosis.report_lines(), diagnosis.as_dict(), as_json=as_json)
    raise SystemExit(1 if diagnosis.count("breaks") else 0)
