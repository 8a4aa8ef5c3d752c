"""Windows without response: against every box there is, and the laws of those too many to list."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilo.pipeline.backgrounds.windows import largest_windows

masks = st.integers(1, 6).flatmap(
    lambda side: arrays(np.uint8, (side, side), elements=st.sampled_from([0, 0, 0, 9, 10, 11, 255]))
)
small = st.tuples(st.integers(1, 6), st.integers(1, 6))
any_shape = st.tuples(*[st.integers(1, 12) | st.integers(13, 2000)] * 2)


def _touched(start, length, side, total):
    """List the cells that pixels from `start` on have a part in, read literally."""
    return [
        i
        for i in range(side)
        if i * total < (start + length) * side and (i + 1) * total > start * side
    ]


def _cells(box, side, shape):
    top, left, height, width = box
    return set(
        itertools.product(
            _touched(top, height, side, shape[0]), _touched(left, width, side, shape[1])
        )
    )


def _boxes_of_pixels(side, shape):
    for top, bottom in itertools.combinations(range(shape[0] + 1), 2):
        for left, right in itertools.combinations(range(shape[1] + 1), 2):
            box = top, left, bottom - top, right - left
            yield box, _cells(box, side, shape)


def _boxes_of_cells(side, shape):
    height, width = (Fraction(length, side) for length in shape)
    for r0, r1 in itertools.combinations(range(side + 1), 2):
        for c0, c1 in itertools.combinations(range(side + 1), 2):
            top, left = math.ceil(r0 * height), math.ceil(c0 * width)
            box = top, left, math.floor(r1 * height) - top, math.floor(c1 * width) - left
            yield box, set(itertools.product(range(r0, r1), range(c0, c1)))


def _by_trying(candidates, mask, shape, *, response, min_side, count, max_aspect=math.inf):
    """Take the largest of all candidates again and again."""
    closed = {cell for cell, value in np.ndenumerate(mask) if value > response}
    found = []
    while len(found) < count:
        fitting = [
            (-box[2] * box[3], box)
            for box, cells in candidates
            if min(box[2:]) >= min_side
            and max(box[2:]) <= max_aspect * min(box[2:])
            and not cells & closed
        ]
        if not fitting:
            break
        found.append(min(fitting)[1])
        closed |= _cells(found[-1], len(mask), shape)
    return found


def _blobs(seed, side, grain):
    """Draw a mask of flat patches, a third of them with response, and no two edges alike."""
    rng = np.random.default_rng(seed)
    coarse = np.where(rng.random((grain, grain)) < 1 / 3, 255, 0)
    places = np.sort(rng.integers(0, grain, (2, side)), axis=1)
    return coarse[places[0][:, None], places[1]].astype(np.uint8)


@settings(deadline=None, max_examples=300)
@given(masks, small, st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 1.5, 2, math.inf]))
def test_no_box_of_pixels_that_touches_only_free_cells_is_larger(
    mask, shape, min_side, count, max_aspect
):
    settled = {"response": 10, "min_side": min_side, "count": count, "max_aspect": max_aspect}
    candidates = list(_boxes_of_pixels(len(mask), shape))
    assert largest_windows(mask, shape, **settled) == _by_trying(candidates, mask, shape, **settled)


@settings(deadline=None, max_examples=300)
@given(
    masks,
    any_shape,
    st.sampled_from([0, 9, 10, 254, 255]),
    st.integers(1, 20) | st.integers(1, 2000),
    st.integers(1, 4),
)
def test_no_box_within_a_rectangle_of_free_cells_is_larger(mask, shape, response, min_side, count):
    settled = {"response": response, "min_side": min_side, "count": count}
    candidates = list(_boxes_of_cells(len(mask), shape))
    assert largest_windows(mask, shape, **settled) == _by_trying(candidates, mask, shape, **settled)


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (17, 23), (40, 40), (3, 900)])
@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_the_largest_of_all_rectangles_of_a_larger_mask(seed, shape):
    mask, side, min_side = _blobs(seed, 40, 9), 40, 2
    total = np.zeros((side + 1, side + 1), int)
    total[1:, 1:] = (mask > 0).cumsum(axis=0).cumsum(axis=1)
    first, last = np.triu_indices(side + 1, 1)
    inside = total[last][:, last] - total[first][:, last] - total[last][:, first]
    inside += total[first][:, first]
    high, wide = (last * length // side + (-first * length // side) for length in shape)
    fits = (high >= min_side)[:, None] & (wide >= min_side) & (inside == 0)
    expected = (high[:, None] * wide)[fits].max(initial=0)
    found = largest_windows(mask, shape, response=0, min_side=min_side, count=1)
    assert sum(height * width for _, _, height, width in found) == expected


@pytest.mark.parametrize("shape", [(375, 500), (1200, 1600), (100, 90), (30, 700)])
@pytest.mark.parametrize("seed", range(4))
def test_windows_are_free_apart_and_cannot_grow(seed, shape):
    mask, min_side = _blobs(seed, 224, 14), 8
    closed = mask > 0
    boxes = largest_windows(mask, shape, response=0, min_side=min_side, count=5)
    assert boxes
    areas = [height * width for _, _, height, width in boxes]
    assert areas == sorted(areas, reverse=True)
    for top, left, height, width in boxes:
        assert min(height, width) >= min_side
        assert not _any_closed(closed, shape, top, left, height, width)
        for grown in [
            (top - 1, left, height + 1, width),
            (top, left - 1, height, width + 1),
            (top, left, height + 1, width),
            (top, left, height, width + 1),
        ]:
            assert _any_closed(closed, shape, *grown), grown
        for cell in _cells((top, left, height, width), 224, shape):
            closed[cell] = True


def _any_closed(closed, shape, top, left, height, width):
    """Tell whether a box leaves the image or touches a closed cell."""
    if top < 0 or left < 0 or top + height > shape[0] or left + width > shape[1]:
        return True
    rows = _touched(top, height, len(closed), shape[0])
    columns = _touched(left, width, len(closed), shape[1])
    return closed[np.ix_(rows, columns)].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (333, 500), (224, 224)])
def test_an_image_without_response_is_one_window(shape):
    mask = np.full((224, 224), 12, np.uint8)
    assert largest_windows(mask, shape, response=12, min_side=1, count=9) == [(0, 0, *shape)]
    assert largest_windows(mask, shape, response=11, min_side=1, count=9) == []


def test_at_255_every_mask_is_without_response():
    mask = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    mask[0, 0] = 255
    assert largest_windows(mask, (70, 50), response=255, min_side=50, count=2) == [(0, 0, 70, 50)]


@pytest.mark.parametrize(
    ("min_side", "expected"), [(20, [(0, 0, 20, 100)]), (21, [(0, 60, 40, 40)]), (41, [])]
)
def test_a_long_box_that_is_too_narrow_gives_way_to_a_smaller_one(min_side, expected):
    mask = np.full((10, 10), 255, np.uint8)
    mask[:2] = 0  # 20 x 100 pixels, 2000 in all
    mask[:4, 6:] = 0  # 40 x 40
    found = largest_windows(mask, (100, 100), response=0, min_side=min_side, count=1)
    assert found == expected


@pytest.mark.parametrize(
    ("max_aspect", "expected"), [(1, (0, 0, 70, 70)), (1.5, (0, 0, 70, 105)), (9, (0, 0, 70, 200))]
)
def test_a_window_that_is_too_long_is_cut_off(max_aspect, expected):
    mask = np.zeros((10, 10), np.uint8)
    mask[7:] = 255
    settled = {"response": 0, "min_side": 70, "count": 1, "max_aspect": max_aspect}
    assert largest_windows(mask, (100, 200), **settled) == [expected]
    top, left, height, width = expected
    assert largest_windows(mask.T, (200, 100), **settled) == [(left, top, width, height)]


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        pytest.param(
            ["..#.", "####", "#..#"], [(0, 0, 1, 2), (2, 1, 1, 2), (0, 3, 1, 1)], id="top"
        ),
        pytest.param(["####.", "....."], [(1, 0, 1, 5), (0, 4, 1, 1)], id="size-before-top"),
        pytest.param(["####.", "...#.", "####."], [(0, 4, 3, 1), (1, 0, 1, 3)], id="ends-later"),
        pytest.param(["###", "#..", "#.#"], [(1, 1, 1, 2), (2, 1, 1, 1)], id="wide"),
    ],
)
def test_of_equal_boxes_the_topmost_leftmost_widest_comes_first(drawn, expected):
    side = max(len(drawn), len(drawn[0]))
    mask = np.full((side, side), 255, np.uint8)
    for row, line in enumerate(drawn):
        for column, cell in enumerate(line):
            mask[row, column] = 255 * (cell == "#")
    shape = (side, side)
    assert largest_windows(mask, shape, response=0, min_side=1, count=9) == expected


def test_a_mask_that_may_not_be_written_will_do():
    mask = np.zeros((8, 16), np.uint8)[:, ::2]
    mask.flags.writeable = False
    assert len(largest_windows(mask, (8, 8), response=0, min_side=1, count=3)) == 1


@pytest.mark.parametrize(
    ("mask", "changes", "message"),
    [
        (np.zeros((4, 5), np.uint8), {}, r"square of uint8, got uint8 \(4, 5\)"),
        (np.zeros((4, 4)), {}, "square of uint8, got float64"),
        (np.zeros((4, 4), np.uint8), {"response": 256}, "response .* got 256"),
        (np.zeros((4, 4), np.uint8), {"response": -1}, "response .* got -1"),
        (np.zeros((4, 4), np.uint8), {"min_side": 0}, "min_side .* got 0"),
        (np.zeros((4, 4), np.uint8), {"count": 0}, "count .* got 0"),
        (np.zeros((4, 4), np.uint8), {"max_aspect": 0.9}, r"max_aspect .* got 0\.9"),
        (np.zeros((4, 4), np.uint8), {"max_aspect": math.nan}, "max_aspect .* got nan"),
    ],
)
def test_a_bad_argument_is_named(mask, changes, message):
    with pytest.raises(ValueError, match=message):
        largest_windows(mask, (9, 9), **{"response": 0, "min_side": 1, "count": 1} | changes)
