"""Types of options that name a file to be written, by its kind."""

import os
from pathlib import Path
from typing import Any

import click

from dilo.pipeline.common.outputs import HDF5, JSON, PNG, WEIGHTS, FileKind, require_output
from dilo.pipeline.errors import DiloError


class Output(click.Path):
    """A file to be written: called as its kind is, and in place of no file of another kind."""

    def __init__(self, kind: FileKind) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse it."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            require_output(path, self.kind)
        except DiloError as error:
            self.fail(str(error), param, ctx)
        return path


PNG_FILE, JSON_FILE, HDF5_FILE, WEIGHTS_FILE = map(Output, (PNG, JSON, HDF5, WEIGHTS))
