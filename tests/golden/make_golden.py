"""Make rbd-*.npz from what the released RBD computes on its way, and SHA256SUMS.

    python tests/golden/make_golden.py ECSSD_DEV/oracle/mid

The arrays come from the authors' MATLAB code (24 March 2014) run under GNU Octave 7.3 on
ECSSD's images 0450 (in which it finds a frame) and 0850: labels counted from 1 on the picture
inside the frame, and the values of each superpixel under the names that the code gives them.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SMALLEST = {"idx16": np.uint8, "adjcMatrix": np.uint8, "bdIds": np.uint8, "frameRecord": np.int32}


def main() -> None:
    for number in ("0450", "0850"):
        with np.load(Path(sys.argv[1]) / f"{number}.npz") as full:
            kept = {name: full[name].astype(SMALLEST.get(name, np.float64)) for name in full}
        np.savez_compressed(HERE / f"rbd-{number}.npz", **kept)
    write_sums()


def write_sums() -> None:
    """List the digests of all golden files, whichever script made them."""
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(HERE.glob("*.npz"))
    ]
    (HERE / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main()
