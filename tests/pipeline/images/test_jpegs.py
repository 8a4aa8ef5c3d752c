"""JPEGs: what is odd and sound is read as Pillow reads it, what is broken is refused."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from support.photographs import photograph

from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode_content, decode_reduced
from dilo.pipeline.images.jpegs import remove_oddities

END = b"\xff\xd9"


def saved(side=0, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(photograph(3))
    (image.crop((0, 0, side, side)) if side else image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def pillow(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def with_stray(content, stray):
    place = content.rindex(END)
    return content[:place] + stray + content[place:]


@pytest.mark.parametrize("stray", [b"\0", b"\0" * 2226, b"<!-- a comment -->", b"\xfe" * 9])
@pytest.mark.parametrize("side", [0, 37, 48])
def test_stray_bytes_before_the_end_marker_change_no_pixel(stray, side):
    for options in ({}, {"subsampling": 0, "quality": 95}, {"restart_marker_blocks": 1}):
        whole = saved(side, **options)
        assert np.array_equal(decode_content(with_stray(whole, stray)), pillow(whole))


def test_random_stray_bytes_change_no_pixel_at_any_reduction():
    rng = np.random.default_rng(0)
    for side in range(9, 60, 3):
        whole = saved(side)
        stray = rng.integers(0, 255, int(rng.integers(1, 300)), dtype=np.uint8).tobytes()
        assert np.array_equal(decode_content(with_stray(whole, stray)), pillow(whole))
    found, shape = decode_reduced(with_stray(saved(), stray), 20)
    assert (found.shape, shape) == ((30, 40, 3), (60, 80))
    assert np.array_equal(found, decode_reduced(saved(), 20)[0])


def test_a_progressive_jpeg_may_have_stray_bytes_too():
    whole = saved(progressive=True)
    assert np.array_equal(decode_content(with_stray(whole, b"stray")), pillow(whole))


def test_what_follows_the_end_marker_is_not_taken_for_the_image():
    other = saved(24, quality=30)
    assert np.array_equal(
        decode_content(with_stray(saved(), b"stray" * 9) + other), pillow(saved())
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"JFIF\0\1\1", b"JFIF\0\0\0"),  # a version that there never was
        (b"\0\x3f\0", b"\0\0\0"),  # the numbers of a scan, as some cameras write them
        (b"\xff\xdb", b"\0\0\0\xff\xdb"),  # between two segments
    ],
)
def test_an_odd_header_changes_no_pixel(old, new):
    whole = saved()
    place = whole.rindex(old) if old == b"\0\x3f\0" else whole.index(old)
    odd = whole[:place] + new + whole[place + len(old) :]
    for content in (odd, with_stray(odd, b"and stray bytes")):
        assert np.array_equal(decode_content(content), pillow(whole))


def test_a_scan_that_wrong_bytes_leave_data_of_is_refused():
    rng = np.random.default_rng(2)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(buffer, "JPEG")
    whole, left_over, passed = buffer.getvalue(), 0, 0
    for _ in range(150):
        start = int(rng.integers(700, len(whole) - 60))
        garbage = rng.integers(0, 255, 40, dtype=np.uint8).tobytes()
        content = whole[:start] + garbage + whole[start + 40 :]
        try:
            simplejpeg.decode_jpeg(content, "RGB", strict=True)
        except ValueError as error:
            if "before marker 0xd9" in str(error):
                left_over += 1
                passed += remove_oddities(content, str(error)) is not None
    assert left_over > 20
    assert passed < left_over / 4  # chance fills a byte with ones now and then


def test_a_truncated_jpeg_with_an_end_marker_is_refused():
    whole = saved()
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(ImageError, match=r"Corrupt|Truncated|[Pp]remature"):
            decode_content(whole[: int(len(whole) * share)] + END)


def test_a_file_that_ends_anywhere_has_no_oddity_that_is_read_over():
    whole = with_stray(saved(16), b"stray")
    for end in range(len(whole)):
        remark = "5 extraneous bytes before marker 0xd9"
        cut = remove_oddities(whole[:end], remark)
        assert cut is None or np.array_equal(pillow(cut), pillow(saved(16)))
