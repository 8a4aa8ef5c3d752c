"""What detectron2 calls the layers of a ResNet, torchvision's names for them, and its files."""

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")


_Table = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


#: A tensor that detectron2's ResNets have and torchvision's do not.
MARK = "stem.conv1.norm.weight"


#: What MoCo's converter makes of a classifier or a head, for which detectron2 has no use.
_HEAD = "stem.fc."


_TO: _Table = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.", lambda layer: f"res{int(layer[1]) + 1}."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


_FROM: _Table = (
    (r"^stem\.conv1\.norm\.", "bn1."),
    (r"^stem\.conv1\.", "conv1."),
    (r"^res(\d)\.", lambda layer: f"layer{int(layer[1]) - 1}."),
    (r"\.conv(\d)\.norm\.", r".bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
)


#: Where numpy 2 keeps what an array is pickled with, and where all versions look for it.
_NUMPY_2, _NUMPY = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], **more: object) -> None:
    """Write the pickle from which detectron2 reads weights, for numpy of any version.

    `more` is what else it is told, such as ``matching_heuristics`` of a backbone alone.
    """
    named = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    content = {"model": named, "__author__": "dilo", **more}
    # Protocol 3 spells names in lines, and the first array's stands before all values.
    path.write_bytes(pickle.dumps(content, protocol=3).replace(_NUMPY_2, _NUMPY, 1))


def to_detectron2(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Rename the layers of a ResNet as detectron2 does, which keeps no counts of batches."""
    weights = {name: value for name, value in weights.items() if "num_batches_tracked" not in name}
    return _renamed(weights, _TO)


def from_detectron2(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Rename the layers of a ResNet as torchvision does, without MoCo's leftover of a head."""
    return _renamed({k: value for k, value in weights.items() if not k.startswith(_HEAD)}, _FROM)


def _renamed(weights: Mapping[str, Value], table: _Table) -> dict[str, Value]:
    """Apply each row of a table to each name."""
    renamed = {}
    for name, value in weights.items():
        for pattern, to in table:
            name = re.sub(pattern, to, name)
        renamed[name] = value
    return renamed
