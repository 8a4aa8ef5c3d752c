"""The scalars of metrics.jsonl, for TensorBoard."""

from pathlib import Path
from typing import Any

from dilo.pipeline.errors import DiloError

FOLDER = "tensorboard"
#: What a line says besides its scalars.
_NO_SCALARS = ("step", "epoch", "knn_k")


def require_package() -> Any:
    """Import what writes event files.

    Returns
    -------
    type
        TensorBoard's writer.

    Raises
    ------
    DiloError
        If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DiloError(
            "--tensorboard needs the package tensorboard: pip install 'dilo[tensorboard]', "
            "or leave it out: metrics.jsonl has the same numbers"
        ) from error
    return SummaryWriter


class Board:
    """Event files that TensorBoard draws.

    Parameters
    ----------
    run : Path
        Folder of the run; they lie in its folder ``tensorboard``.
    step : int
        Step that the run goes on from. Points of later steps, which a killed run wrote after
        its last checkpoint, are no longer drawn.

    Raises
    ------
    DiloError
        If TensorBoard is not installed.
    """

    def __init__(self, run: Path, step: int) -> None:
        self._writer: Any = require_package()(str(run / FOLDER), purge_step=step + 1)

    def add(self, values: dict[str, Any]) -> None:
        """Draw the scalars of one line.

        Parameters
        ----------
        values : dict
            As `Record.add` takes it.
        """
        for name, value in values.items():
            if name not in _NO_SCALARS and value is not None:
                self._writer.add_scalar(name, value, values["step"])
        self._writer.flush()

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()
