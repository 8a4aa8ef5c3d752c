"""What stands in for what cannot be read: the next that can, of those to train on."""

import errno
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dilo.pipeline.errors import AccessError, DiloError, ImageError
from dilo.pipeline.images.names import Names
from dilo.train.data.images import MAX_SUBSTITUTES, first_readable


def listed(usable):
    names = Names(f"{number}.jpg" for number in range(40))
    return SimpleNamespace(folder=Path("photos"), names=names, indices=np.array(usable))


def reading(broken):
    def load(position):
        if position in broken:
            raise ImageError(f"{position} is torn")
        return f"image {position}"

    return load


def test_the_next_of_the_usable_that_can_be_read_stands_in_around_the_end():
    source = listed([3, 5, 8, 9])
    assert first_readable(source, 5, reading({})) == ("image 5", 1)
    assert first_readable(source, 5, reading({5, 8})) == ("image 9", 3)
    assert first_readable(source, 9, reading({9})) == ("image 3", 0)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_nothing_stands_in_for_what_the_system_does_not_give_now(number):
    def load(position):
        raise ImageError("not now", number)

    with pytest.raises(AccessError, match=r"photos/5.jpg: "):
        first_readable(listed([3, 5, 8]), 5, load)


def test_where_many_in_a_row_cannot_be_read_the_run_ends_with_the_reason():
    source, all_of_them = listed(range(40)), set(range(40))
    message = rf"--images photos: {MAX_SUBSTITUTES} images from 2.jpg on .* because: 17 is torn"
    with pytest.raises(DiloError, match=message):
        first_readable(source, 2, reading(all_of_them))
