"""How fast a network makes masks, and how long its device waits for images."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Pace:
    """How fast images were made.

    Attributes
    ----------
    images : int
        How many.
    seconds : float
        What they took, added up over the processes.
    waited : float
        Of these, how long the device had nothing to do.
    """

    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Take both together."""
        return type(self)(
            self.images + other.images, self.seconds + other.seconds, self.waited + other.waited
        )

    def words(self, method: str) -> str:
        """Say it in a line.

        Parameters
        ----------
        method : str
            What made the masks.

        Returns
        -------
        str
            Images a second, and how much of the time was lost.
        """
        rate, waiting = self._rate(), 100 * self._waiting()
        return (
            f"{method}: {rate:.1f} images/s a process, {waiting:.0f} % of the time waiting for data"
        )

    def record(self) -> dict[str, float | None]:
        """Say it for machines.

        Returns
        -------
        dict
            Ready for JSON; None where no image was made.
        """
        made = self.images > 0
        return {
            "images_per_second": self._rate() if made else None,
            "data_wait": self._waiting() if made else None,
        }

    def _rate(self) -> float:
        """Divide; a clock may stand still."""
        return self.images / self.seconds if self.seconds else 0.0

    def _waiting(self) -> float:
        """Tell the share of the time."""
        return self.waited / self.seconds if self.seconds else 0.0
