"""Small masks with ground truths to draw, and folders of them to score."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


@st.composite
def masks_and_truths(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a mask in few or many values, and a truth: any, from empty to full."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = rng.integers(0, 256, draw(st.integers(1, 40)), dtype=np.uint8)
    truth = rng.random(shape) < draw(st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.0]))
    return rng.choice(palette, shape), truth
