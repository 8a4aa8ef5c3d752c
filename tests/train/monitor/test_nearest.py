"""The nearest rows: one walk through the bank, whatever the chunk, in a defined order."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from support.rows import RecordingRows

from dilo.train.monitor.nearest import nearest


def _drawn(*shape, seed=0):
    """Draw float64, so that no order of summing decides what is nearer."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# On the unit circle, seen from a query at 0 degrees; lengths differ, because only directions count.
ANGLES = [10, 20, -20, 180]
BANK = torch.tensor(
    [
        [n * math.cos(math.radians(a)), n * math.sin(math.radians(a))]
        for n, a in enumerate(ANGLES, 1)
    ]
)
QUERY = torch.tensor([[5.0, 0.0]])


def test_four_points_placed_by_hand_are_ranked_by_angle():
    similarities, rows = nearest(BANK, QUERY, k=4)
    assert rows[0, 0] == 0
    assert set(rows[0, 1:3].tolist()) == {1, 2}
    assert rows[0, 3] == 3
    expected = [math.cos(math.radians(a)) for a in (10, 20, 20, 180)]
    assert_allclose(similarities[0], expected, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 25, 60, 1000])
def test_chunks_change_nothing(chunk):
    bank, queries = _drawn(60, 6), _drawn(25, 6, seed=1)
    whole = nearest(bank, queries, k=20)
    parts = nearest(bank, queries, k=20, chunk=chunk, max_bytes=0)
    assert torch.equal(whole[1], parts[1])
    assert_allclose(whole[0], parts[0], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    axes=st.lists(st.integers(0, 2), min_size=1, max_size=30),
    chunk=st.integers(1, 31),
    data=st.data(),
)
def test_equally_similar_rows_come_in_their_own_order(axes, chunk, data):
    k = data.draw(st.integers(1, len(axes)))
    # Unit vectors: every cosine is exactly 0 or 1.
    similarities, rows = nearest(torch.eye(3)[axes], torch.eye(3), k=k, chunk=chunk)
    for query in range(3):
        order = sorted(range(len(axes)), key=lambda row: (axes[row] != query, row))
        assert rows[query].tolist() == order[:k]
        assert similarities[query].tolist() == [float(axes[row] == query) for row in order[:k]]


def test_the_bank_is_read_once_in_chunks_however_many_queries_there_are():
    bank, queries = RecordingRows(_drawn(50, 4)), RecordingRows(_drawn(33, 4, seed=1))
    nearest(bank, queries, k=3, chunk=8)
    assert bank.asked == [(first, min(first + 8, 50)) for first in range(0, 50, 8)]
    assert queries.asked == [(first, min(first + 8, 33)) for first in range(0, 33, 8)]


def test_queries_beyond_what_is_held_take_another_walk():
    bank, queries = RecordingRows(_drawn(50, 4)), RecordingRows(_drawn(33, 4, seed=1))
    each = 4 * 4 + 12 * 3  # bytes of a query and of three neighbours
    nearest(bank, queries, k=3, chunk=8, max_bytes=10 * each)
    walk = [(first, min(first + 8, 50)) for first in range(0, 50, 8)]
    assert bank.asked == walk * 4  # 33 queries, ten at a time
    assert queries.asked == [(0, 8), (8, 10), (10, 18), (18, 20), (20, 28), (28, 30), (30, 33)]


def test_neither_autocast_nor_tf32_makes_products_coarser():
    bank, queries = _drawn(40, 64).float(), _drawn(9, 64, seed=1).float()
    plain = nearest(bank, queries, k=5)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, plain, nearest(bank, queries, k=5)))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = not before
    try:
        nearest(bank, queries, k=5)
        assert torch.backends.cuda.matmul.allow_tf32 is not before  # as it was set
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_the_same_neighbours():
    bank, queries = _drawn(5000, 64), _drawn(300, 64, seed=1)
    here = nearest(bank, queries, k=50)
    there = nearest(bank, queries, k=50, chunk=700, device=torch.device("cuda"))
    assert torch.equal(here[1], there[1].cpu())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"k": 41}, r"k must be between 1 and 40, .* got 41", id="k-too-large"),
        pytest.param({"k": 0}, r"k must be between 1 and 40, .* got 0", id="k-zero"),
        pytest.param({"chunk": 0}, "chunk must be at least 1, got 0", id="chunk"),
    ],
)
def test_a_bad_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        nearest(_drawn(40, 3), _drawn(2, 3), **({"k": 1} | change))
