"""What chance decides about variations: whose background each foreground gets."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.rng import generator, permutation
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names, escaped

#: The variations on other backgrounds. Their places here are what a stream of numbers is for,
#: half of Philox's key, the seed being the other half.
MIXED = ("mixed_same", "mixed_rand", "mixed_next")
#: The same, of the backgrounds of queries.
QUERY = len(MIXED)


def path_key(path: str) -> int:
    """Make a key of a path: a picture does not change because others are looked at."""
    digest = hashlib.sha256(escaped(path).encode()).digest()
    return int.from_bytes(digest[:8], "little")


@dataclass(frozen=True, eq=False)
class BackgroundDonors:
    """The images that may lend their background, by class."""

    #: Relative paths of all M images of the folder.
    names: Names
    #: Their classes; of shape (M,), int64.
    labels: NDArray[np.int64]
    #: The classes that have donors, in their order; of shape (C,), int64.
    classes: NDArray[np.int64]
    #: Positions of a class's donors; of shape (N,), int64.
    members: dict[int, NDArray[np.int64]]
    #: Part of every key.
    seed: int

    @classmethod
    def of(
        cls, names: Names, labels: NDArray[np.int64], usable: NDArray[np.int64], seed: int
    ) -> Self:
        """Sort the donors by class.

        Parameters
        ----------
        names : Names
            All images.
        labels : ndarray of shape (M,), int64
            Their classes.
        usable : ndarray of shape (N,), int64
            Positions of the donors.
        seed : int
            From which everything is drawn.

        Returns
        -------
        BackgroundDonors
            They.

        Raises
        ------
        DiloError
            If they are of fewer than two classes: there is no other background then.
        """
        classes = np.unique(labels[usable])
        if len(classes) < 2:
            raise DiloError(
                f"backgrounds must come from at least 2 classes, got {len(classes)} with images "
                "whose mask can be used: give a folder of several classes"
            )
        members = {int(c): usable[labels[usable] == c] for c in classes}
        return cls(names, labels, classes, members, seed)

    def background_class(self, position: int, kind: str) -> int:
        """Say of which class the background of a foreground is."""
        return self._drawn(position, kind)[0]

    def order(self, position: int, kind: str) -> NDArray[np.int64]:
        """Draw the donors of a foreground: the first one whose background can be had lends it.

        Parameters
        ----------
        position : int
            The image that the foreground is of.
        kind : {"mixed_same", "mixed_rand", "mixed_next"}
            The variation.

        Returns
        -------
        ndarray of shape (N,), int64
            All donors of the class that `background_class` says, but for the image itself.
        """
        label, numbers = self._drawn(position, kind)
        members = self.members[label]
        members = members[members != position]
        drawn: NDArray[np.int64] = members[permutation(numbers, len(members))]
        return drawn

    def _drawn(self, position: int, kind: str) -> tuple[int, np.random.Generator]:
        """Open the stream of an image's variation, and take the class from it."""
        numbers = generator(self.seed, MIXED.index(kind), path_key(self.names[position]))
        own = int(np.searchsorted(self.classes, self.labels[position]))
        any_class = int(numbers.random() * len(self.classes))
        place = {"mixed_same": own, "mixed_rand": any_class, "mixed_next": own + 1}[kind]
        return int(self.classes[place % len(self.classes)]), numbers
