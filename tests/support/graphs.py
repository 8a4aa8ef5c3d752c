"""Small segmented pictures to draw, and the golden data of the released RBD."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.golden import golden_arrays

from dilo.pipeline.saliency.superpixels import Superpixels, describe, rgb_to_lab


@st.composite
def segmented_pictures(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Draw a picture of up to 12 x 12 pixels in few colours, and its cells round random seeds."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seeds = rng.random((draw(st.integers(1, 12)), 2)) * (height, width)
    pixels = np.stack(np.indices((height, width)), axis=-1)[:, :, np.newaxis]
    cells = np.square(pixels - seeds).sum(axis=-1).argmin(axis=-1)
    labels = np.unique(cells, return_inverse=True)[1].reshape(height, width)
    palette = rng.integers(0, 256, (draw(st.integers(1, 6)), 3), dtype=np.uint8)
    return palette[rng.integers(0, len(palette), (height, width))], labels


@st.composite
def color_graphs(
    draw: st.DrawFn,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw colour differences of all pairs, who is adjacent (all connected), who is boundary."""
    count = draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few distinct colours, so that many differences are exactly 0.
    colors = rng.choice(rng.random((draw(st.integers(1, 8)), 3)) * 60, count)
    difference = np.sqrt(np.square(colors[:, np.newaxis] - colors).sum(axis=2))
    adjacent = rng.random((count, count)) < draw(st.floats(0, 0.5))
    adjacent |= np.eye(count, k=1, dtype=bool)
    adjacent = np.triu(adjacent, 1)
    on_boundary = rng.random(count) < 0.4
    on_boundary[0] = True
    return difference, adjacent | adjacent.T, on_boundary


@dataclass(frozen=True)
class Golden:
    """What the released code computed for one image, and its superpixels described by ours."""

    values: dict[str, NDArray[Any]]
    superpixels: Superpixels


def load_golden(number: str) -> Golden:
    """Read tests/golden/rbd-NUMBER.npz."""
    values = golden_arrays(f"rbd-{number}")
    labels = values["idx16"].astype(np.intp) - 1
    described = describe(np.zeros((*labels.shape, 3), np.uint8), labels, band=8)
    lab = rgb_to_lab(values["meanRgbCol"] / 255)
    return Golden(values, Superpixels(labels, lab, described.position, described.on_boundary))
