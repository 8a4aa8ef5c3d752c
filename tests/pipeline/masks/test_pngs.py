"""Which PNG is whose: no two images share one."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dilo.pipeline.common.files import temporary_name
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.names import Names
from dilo.pipeline.masks.pngs import ambiguous_names, write_png


@pytest.mark.parametrize(
    ("paths", "full"),
    [
        (["a/b.jpg", "a/c.jpg", "b.jpg"], []),
        (["a/b.jpg", "a/b.png"], [0, 1]),
        (["a/b.jpg", "c.jpg", "a/b.jpg.bmp"], [2]),
        (["a/b.jpg.png", "a/b.png", "a/b.jpg"], [0, 1, 2]),
        (["a.b/c", "a.d/c"], [0, 1]),
        ([".a/b.jpg", "a/.b", "a/.b.jpg"], [1, 2]),
        (["a.jpg", "a.png/b.jpg", "c.jpg"], [0]),
    ],
)
def test_images_that_would_share_a_png_keep_their_extension(paths, full):
    assert ambiguous_names(Names(paths)).tolist() == full


PARTS = st.sampled_from(["a", "a.png", "a.jpg", "a.png.png", "a.jpg.png", "b.c.jpg", "b.c", "b"])


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), unique=True))
def test_no_two_images_share_a_png_and_none_lies_where_a_folder_is(paths):
    parents = {path[:cut] for path in paths for cut, mark in enumerate(path) if mark == "/"}
    if parents & set(paths):
        return  # no disk has these
    try:
        full = set(ambiguous_names(Names(paths)).tolist())
    except StoreError:
        assert any(f"{path}.png" in parents for path in paths)
        return
    stems = [path if i in full else os.path.splitext(path)[0] for i, path in enumerate(paths)]
    pngs = [f"{stem}.png" for stem in stems]
    assert len(set(pngs)) == len(pngs)
    assert not parents & set(pngs)
    again = ambiguous_names(Names(paths[::-1]))
    assert sorted(len(paths) - 1 - again) == sorted(full)


def test_a_png_where_a_folder_must_be_is_refused():
    with pytest.raises(StoreError, match=r"'a.jpg' must become a.jpg.png, got a folder"):
        ambiguous_names(Names(["a.jpg", "a.png/b.jpg", "a.jpg.png/c.jpg"]))


def test_a_png_is_written_whole_into_a_folder_that_is_made(tmp_path):
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    part = temporary_name(tmp_path / "mask.png")
    write_png(tmp_path / "a" / "b.png", pixels, part)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / "b.png")), pixels)
    assert not part.exists()
    with pytest.raises(OSError, match=r"a/b\.png/c\.png"):
        write_png(tmp_path / "a" / "b.png" / "c.png", pixels, part)
