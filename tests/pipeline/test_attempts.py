"""Rows as they are tried: what was read, and whose fault it is."""

import zlib

import pytest

from dilo.pipeline.attempts import Attempts
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.maskrows import MaskRows


@pytest.fixture
def attempts(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"content")
    rows = MaskRows.blank(["a.jpg", "gone.jpg", "a.jpg"], 4)
    return Attempts(tmp_path, "rbd", rows, {2: "it kills"})


def raising(error):
    raise error


def test_what_is_read_is_recorded_also_of_a_row_that_must_not_be_tried(attempts):
    assert attempts.content(0) == b"content"
    assert attempts.content(1) is None
    assert attempts.content(2) is None
    assert attempts.rows.bytes.tolist() == [7, 0, 7]
    assert attempts.rows.file_crc32.tolist() == [zlib.crc32(b"content"), 0, zlib.crc32(b"content")]
    assert attempts.rows.error == ["", "No such file or directory", "it kills"]


def test_an_error_is_the_row_s_own_but_for_one_that_is_no_image_s_fault(attempts):
    assert attempts.part(0, divmod, 7, 2) == (3, 1)
    assert attempts.part(0, raising, ImageError("truncated")) is None
    assert attempts.part(1, raising, ZeroDivisionError("by nothing")) is None
    assert attempts.rows.error[:2] == ["truncated", "rbd failed: ZeroDivisionError: by nothing"]
    with pytest.raises(DiloError, match="the disk of masks"):
        attempts.part(0, raising, DiloError("the disk of masks is gone"))
