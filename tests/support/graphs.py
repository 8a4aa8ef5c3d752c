"""Small segmented pictures and graphs to draw, and the golden data of the released codes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support.golden import golden_arrays

from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.classical.superpixels import Superpixels, describe
from dilo.pipeline.saliency.method import Method

#: ECSSD's images and what the released codes make of them, where they lie beside the repository.
ECSSD = Path(__file__).resolve().parents[3] / "shared" / "data" / "ecssd-dev"

Picture = tuple[NDArray[np.uint8], NDArray[np.int32]]


@st.composite
def segmented_pictures(draw: st.DrawFn) -> Picture:
    """Draw a picture of up to 12 x 12 pixels in few colours, and its cells round random seeds."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seeds = rng.random((draw(st.integers(1, 12)), 2)) * (height, width)
    pixels = np.stack(np.indices((height, width)), axis=-1)[:, :, np.newaxis]
    cells = np.square(pixels - seeds).sum(axis=-1).argmin(axis=-1)
    labels = np.unique(cells, return_inverse=True)[1].reshape(height, width).astype(np.int32)
    palette = rng.integers(0, 256, (draw(st.integers(1, 6)), 3), dtype=np.uint8)
    return palette[rng.integers(0, len(palette), (height, width))], labels


def squares(colors: NDArray[np.uint8], side: int = 2) -> Picture:
    """Paint superpixels of (side, side) pixels, each of one colour, in an array of any shape."""
    rows, columns = colors.shape[:2]
    labels = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    block = np.ones((side, side), np.int32)
    return np.kron(colors, block[:, :, np.newaxis]).astype(np.uint8), np.kron(labels, block)


#: Pictures in which nothing, or next to nothing, can stand out.
DULL = {
    "one-superpixel": squares(np.array([[[9, 80, 200]]])),
    "one-colour": squares(np.full((4, 5, 3), 77)),
    "black": squares(np.zeros((3, 3, 3), int)),
}
PAIRED = {
    "two-superpixels": squares(np.array([[[9, 80, 200], [200, 10, 10]]])),
    "two-colours": squares(np.array([[[9, 80, 200]] * 5] * 2 + [[[200, 10, 10]] * 5] * 3)),
    "checks": squares(np.indices((5, 5)).sum(axis=0)[:, :, np.newaxis] % 2 * np.full(3, 255)),
    "one-pixel-each": squares(np.arange(48).reshape(4, 4, 3) * 5, 1),
    "a-row": squares(np.array([[[0, 0, 0], [255, 255, 255], [0, 0, 0]]]), 1),
    # Three colours, each as far from the others but for a hair: in CIELAB, MC's, or both.
    "alike-in-lab": squares(np.array([[[201, 237, 214], [237, 80, 247], [219, 5, 5]]])),
    "alike-in-mc": squares(np.array([[[201, 7, 31], [223, 91, 187], [159, 144, 117]]])),
    "alike": squares(np.array([[[197, 167, 239], [119, 226, 208], [219, 152, 103]]])),
}


def renumbered(picture: Picture, seed: int) -> tuple[Superpixels, Superpixels, NDArray[np.intp]]:
    """Describe a picture's superpixels twice, the second time by other numbers."""
    image, labels = picture
    order = np.random.default_rng(seed).permutation(labels.max() + 1)
    return describe(image, labels), describe(image, order[labels].astype(np.int32)), order


def assert_same_saliency(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Check that values are finite and the same.

    A threshold may fall the other way when rounding differs: then both must be masks alike.
    """
    assert np.isfinite(actual).all()
    if not np.allclose(actual, expected, atol=1e-6):
        assert np.corrcoef(actual, expected)[0, 1] > 0.5


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
    """What a released code computed for one image, and its superpixels described by ours."""

    values: dict[str, NDArray[Any]]
    superpixels: Superpixels


def load_golden(number: str) -> Golden:
    """Read what the release of RBD made of an image."""
    values = golden_arrays(f"rbd-{number}")
    return Golden(values, _of_colors(values["idx16"].astype(np.int32) - 1, values["meanRgbCol"]))


def load_golden_mc(number: str) -> Golden:
    """Read what the release of MC made of an image."""
    values = golden_arrays(f"mc-{number}")
    return Golden(values, _of_colors(values["Label"].astype(np.int32), values["meanRgb"]))


def released_maps(
    intermediates: str, maps: str
) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[np.uint8], NDArray[np.uint8]]]:
    """Give what a release computed for ten of ECSSD's images, the image, and the 8-bit map."""
    paths = sorted((ECSSD / "oracle" / intermediates).glob("*.npz"))
    assert len(paths) == 10
    for path in paths:
        with np.load(path) as arrays:
            values = dict(arrays)
        with Image.open(ECSSD / "images" / f"{path.stem}.jpg") as opened:
            image = np.asarray(opened.convert("RGB"))
        with Image.open(ECSSD / "oracle" / maps / f"{path.stem}.png") as opened:
            yield values, image, np.asarray(opened.convert("L"))


def likeness_to_released_maps(method: Method[Any], maps: str) -> list[float]:
    """Correlate a method's masks of every tenth of ECSSD's images here with a release's maps."""
    correlations = []
    for path in sorted((ECSSD / "images").glob("*.jpg"))[::10]:
        with Image.open(path) as opened:
            image = squash(np.asarray(opened.convert("RGB")), method.parameters.side)
        with Image.open(ECSSD / "oracle" / maps / f"{path.stem}.png") as opened:
            released = squash(np.asarray(opened.convert("L")), method.parameters.side)
        correlations.append(np.corrcoef(method(image).ravel(), released.ravel())[0, 1])
    assert len(correlations) > 10
    return correlations


def _of_colors(labels: NDArray[np.int32], rgb: NDArray[np.float64]) -> Superpixels:
    """Describe superpixels whose mean colours of 0 to 255 are known."""
    described = describe(np.zeros((*labels.shape, 3), np.uint8), labels)
    return Superpixels(labels, rgb / 255, described.position)
