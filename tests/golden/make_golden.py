"""Make rbd-*.npz and mc-*.npz from what the released codes compute, and SHA256SUMS.

    python tests/golden/make_golden.py ECSSD_DEV

The arrays come from the authors' MATLAB codes run under GNU Octave 7.3 on ECSSD's images 0450
and 0850, under the names that the codes give them: the values of each superpixel, and where it
lies. RBD's (24 March 2014; it finds a frame in 0450): labels counted from 1 on the picture
inside the frame. MC's: labels counted from 0; the mean colours of superpixels, which it does
not keep, are taken from the image here, and their 8-bit saliency from its map.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
SMALLEST = {
    "idx16": np.uint8,
    "adjcMatrix": np.uint8,
    "bdIds": np.uint8,
    "frameRecord": np.int32,
    "Label": np.uint8,
    "EdgSup": np.uint8,
}


def kept(path: Path) -> dict[str, np.ndarray]:
    """Read what one of the codes computed, each array in the smallest type that holds it."""
    with np.load(path) as full:
        return {name: full[name].astype(SMALLEST.get(name, np.float64)) for name in full}


def measured(labels: np.ndarray, image: np.ndarray, saliency: np.ndarray) -> dict[str, np.ndarray]:
    """Take the mean colour and the one saliency of each superpixel."""
    parts = [labels == label for label in range(labels.max() + 1)]
    levels = [np.unique(saliency[part]) for part in parts]
    return {
        "meanRgb": np.array([image[part].mean(axis=0) for part in parts]),
        "level": np.array([level.item() for level in levels], np.uint8),
    }


def main() -> None:
    root = Path(sys.argv[1])
    for number in ("0450", "0850"):
        rbd = kept(root / "oracle" / "mid" / f"{number}.npz")
        np.savez_compressed(HERE / f"rbd-{number}.npz", **rbd)
        mc = kept(root / "oracle" / "mid_mc" / f"{number}.npz")
        with Image.open(root / "images" / f"{number}.jpg") as opened:
            image = np.asarray(opened.convert("RGB"))
        with Image.open(root / "oracle" / "mc" / f"{number}.png") as opened:
            saliency = np.asarray(opened.convert("L"))
        mc |= measured(mc["Label"], image, saliency)
        np.savez_compressed(HERE / f"mc-{number}.npz", **mc)
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
