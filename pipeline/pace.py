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
        return (
            f"{method}: {self._rate():.1f} images/s a process, {100 * self._waiting():.0f} % of "
            f"the time waiting for data"
        )

    def record(self) -> dict[str, float]:
        """Say it for machines.

        Returns
        -------
        dict of str to float
            Ready for JSON.
        """
        return {
            "images": self.images,
            "images_a_second": self._rate(),
            "waiting": self._waiting(),
        }

    def _rate(self) -> float:
        """Divide; a clock may stand still."""
        return self.images / self.seconds if self.seconds else 0.0

    def _waiting(self) -> float:
        """Tell the share of the time."""
        return self.waited / self.seconds if self.seconds else 0.0
