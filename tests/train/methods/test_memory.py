"""The queue: a ring that any batch size writes into."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilo.train.methods.momentum import enqueue, new_queue


@given(st.integers(1, 12), st.lists(st.integers(1, 30), max_size=6))
def test_the_queue_holds_the_last_keys_whatever_the_batches(size, batches):
    queue, pointer = torch.zeros(1, size), torch.zeros(1, dtype=torch.int64)
    written = [0.0] * size
    count = 0
    for batch in batches:
        keys = torch.arange(count + 1, count + batch + 1).float()[:, None]
        enqueue(queue, pointer, keys)
        for key in keys[:, 0].tolist():
            written[count % size] = key
            count += 1
    assert queue[0].tolist() == written
    assert int(pointer) == count % size


def test_a_new_queue_is_random_directions_by_seed():
    queue = new_queue(8, 50, seed=3)
    assert queue.shape == (8, 50)
    torch.testing.assert_close(queue.norm(dim=0), torch.ones(50))
    assert torch.equal(queue, new_queue(8, 50, seed=3))
    assert not torch.equal(queue, new_queue(8, 50, seed=4))
    assert float((queue.T @ queue).mean()) == pytest.approx(1 / 50, abs=0.02)
