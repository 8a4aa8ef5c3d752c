"""Making rows mask by mask: all images, in order; a row stays blank where its mask fails."""

import numpy as np
import pytest

from dilo.pipeline.compute.work import mask_by_mask


def test_each_row_is_filled_by_its_own_image():
    asked = []

    def make(path, content):
        asked.append((path, content))
        if content == b"bad":
            raise ZeroDivisionError
        return np.full((4, 4), len(content), np.uint8), (len(content), 9)

    making = mask_by_mask(make, 4)(range(6, 8), ["a\\b.jpg", "c.jpg"])
    assert list(making.todo) == [0, 1]
    assert making.rows.path == [r"a\\b.jpg", "c.jpg"]
    making.fill(1, b"four")
    with pytest.raises(ZeroDivisionError):
        making.fill(0, b"bad")
    assert asked == [("c.jpg", b"four"), ("a\\b.jpg", b"bad")]
    assert making.rows.shape.tolist() == [[0, 0], [4, 9]]
    assert making.rows.masks.mean(axis=(1, 2)).tolist() == [0, 4]
