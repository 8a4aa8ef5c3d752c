"""The golden files, after checking that each is the file that was made."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def golden_arrays(name: str) -> dict[str, NDArray[Any]]:
    """Read tests/golden/NAME.npz; its digest must be the one in SHA256SUMS."""
    path = GOLDEN / f"{name}.npz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{digest}  {path.name}" in (GOLDEN / "SHA256SUMS").read_text().splitlines()
    with np.load(path) as arrays:
        return dict(arrays)
