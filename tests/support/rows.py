"""Rows that remember what was asked of them."""

from torch import Tensor


class RecordingRows:
    """Rows that remember which of them were asked for."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows
        self.asked: list[tuple[int, int]] = []

    @property
    def shape(self) -> tuple[int, ...]:
        """Tell rows and columns."""
        return tuple(self._rows.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Read, and remember."""
        first, last, _ = rows.indices(len(self))
        self.asked.append((first, last))
        return self._rows[rows]
