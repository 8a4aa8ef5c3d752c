"""ImageNet's classes to the nine of ImageNet-9: the file that comes with the challenge's code."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError, DiloError

#: Classes of ImageNet, and of ImageNet-9.
IMAGENET, NINE = 1000, 9


@dataclass(frozen=True, eq=False)
class Mapping:
    """Which of the nine classes each class of ImageNet is.

    Attributes
    ----------
    source : Path
        The file.
    numbers : Tensor of shape (1000,), int64
        0 to 8; -1 for none.
    """

    source: Path
    numbers: Tensor

    @property
    def counts(self) -> list[int]:
        """Count the classes of ImageNet in each of the nine.

        Returns
        -------
        list of int
            Nine.
        """
        counts: list[int] = torch.bincount(self.numbers + 1, minlength=NINE + 1)[1:].tolist()
        return counts


def read_mapping(path: Path) -> Mapping:
    """Read ``in_to_in9.json``.

    Parameters
    ----------
    path : Path
        A JSON object from "0" to "999" to -1 to 8.

    Returns
    -------
    Mapping
        What it says.

    Raises
    ------
    DiloError
        If it is something else, or leaves one of the nine classes without any.
    """
    rule = f'{path} must be a JSON object from "0" to "999" to numbers from -1 to 8'
    remedy = "give in_to_in9.json of the challenge's code"
    try:
        content = read_json(path)
    except ContentError as error:
        raise DiloError(f"{rule}, got no JSON ({error}): {remedy}") from None
    if not isinstance(content, dict) or content.keys() != set(map(str, range(IMAGENET))):
        kind = f"{len(content)} keys" if isinstance(content, dict) else type(content).__name__
        raise DiloError(f"{rule}, got {kind}: {remedy}")
    for key, value in content.items():
        if type(value) is not int or not -1 <= value < NINE:
            raise DiloError(f"{rule}, got {key}: {value!r}: {remedy}")
    numbers = torch.tensor([content[str(i)] for i in range(IMAGENET)], dtype=torch.int64)
    mapping = Mapping(path, numbers)
    if 0 in mapping.counts:
        empty = mapping.counts.index(0)
        raise DiloError(f"{rule}, got no class of ImageNet that is {empty}: {remedy}")
    return mapping
