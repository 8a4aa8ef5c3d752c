"""Files of torch.save that hold objects of other programs: their tensors and plain values."""

import io
from pathlib import Path
from typing import Any, Self

import torch

from dilo.train.weights.torchfile import (
    DROPPED,
    Budget,
    begins_as_legacy,
    load_allowed,
    plain,
    refusing,
    require_torch_file,
    survey_archive,
    survey_legacy,
)

#: Names of other programs that one file may hold; a checkpoint has a handful.
_MOST_NAMES = 1000


class Inert:
    """Stands for whatever another program's pickle names: takes anything, does nothing."""

    __slots__ = ()

    def __new__(cls, *ignored: object) -> Self:
        """Make one."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class InertClass:
    """Gives `Inert` itself, for a class that a file keeps together with its source.

    It is called with the word "module", the class, and the name and text of its source file.
    """

    __slots__ = ()

    def __new__(cls, *ignored: object) -> Any:
        """Give the class instead."""
        return Inert

    def __setstate__(self, state: object) -> None:
        pass


def read_foreign(path: Path) -> object:
    """Load the tensors and plain values of a file that may hold objects of other programs.

    The programs need not be installed, and nothing of theirs is imported or run: every name
    that torch does not itself allow stands for `Inert`, and what comes of it is dropped.

    Parameters
    ----------
    path : Path
        What torch.save of any version wrote.

    Returns
    -------
    object
        What is left of its content, on the CPU: tensors, numbers, text, bytes, None, and
        dictionaries, lists and tuples of these.

    Raises
    ------
    CheckpointError
        If the file is damaged, or so made that torch will not read it without running code.
    """
    with refusing(path):
        file: Path | io.BytesIO = path
        if begins_as_legacy(require_torch_file(path)):
            file, names = survey_legacy(path, _INERT_CLASS[1])
        else:
            names = survey_archive(path)
        if len(names) > _MOST_NAMES:
            raise ValueError(f"it names {len(names)} classes of other programs")
        inert: list[Any] = [(Inert, name) for name in names]
        with torch.serialization.safe_globals([*inert, _INERT_CLASS]):
            content = plain(load_allowed(file), Budget(path.stat().st_size))
        return None if content is DROPPED else content


_INERT_CLASS = (InertClass, f"{__name__}.{InertClass.__name__}")
