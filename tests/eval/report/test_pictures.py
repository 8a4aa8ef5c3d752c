"""Pictures of the page: copied whole, shown smaller where large, named without danger."""

import base64
import io

import pytest
from PIL import Image
from support.reports import picture

from dilo.eval.report import pictures
from dilo.eval.report.pictures import Album, chosen


@pytest.fixture
def album(tmp_path):
    (tmp_path / "out").mkdir()
    return Album(tmp_path / "out")


def shown(found):
    """Decode what the page holds."""
    kind, _, data = found.data.partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert kind == f"data:image/{image.format.lower()}"
        assert image.size == (found.width, found.height)
        return image.convert("RGB")


def test_a_small_picture_is_copied_and_stands_in_the_page_as_it_is(tmp_path, album):
    source = picture(tmp_path / "a.png")
    found = album.copied(source, "run", "a")
    assert (tmp_path / "out" / "run-a.png").read_bytes() == source.read_bytes()
    assert not found.shrunk
    assert shown(found).tobytes() == Image.open(source).tobytes()


def test_a_large_picture_is_made_smaller_in_the_page_alone(tmp_path, album, monkeypatch):
    monkeypatch.setattr(pictures, "EMBEDDED", 2000)
    monkeypatch.setattr(pictures, "WIDTH", 30)
    source = picture(tmp_path / "a.png", side=60)
    found = album.copied(source, "a")
    assert found.shrunk
    assert shown(found).size == (30, 30)
    assert (tmp_path / "out" / "a.png").read_bytes() == source.read_bytes()


def test_what_is_clear_becomes_white_where_a_picture_is_made_smaller(tmp_path, album, monkeypatch):
    monkeypatch.setattr(pictures, "EMBEDDED", 0)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert min(shown(album.copied(tmp_path / "a.png", "a")).getpixel((4, 4))) > 250


def test_a_page_that_would_grow_too_large_holds_no_more_pictures(tmp_path, album, monkeypatch):
    source = picture(tmp_path / "a.png")
    monkeypatch.setattr(album, "_room", source.stat().st_size)
    first, second = album.copied(source, "a"), album.copied(source, "b")
    assert first.data
    assert not second.data
    assert second.shrunk
    assert (tmp_path / "out" / "b.png").exists()
    assert album.notes == ["b.png is beside the page, not in it: the page would be large"]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n torn", None])
def test_what_is_no_sound_picture_is_left_out_and_told(tmp_path, album, content):
    source = picture(tmp_path / "a.png")
    source.write_bytes(source.read_bytes()[:1000] if content is None else content)
    assert album.copied(source, "a") is None
    assert not list((tmp_path / "out").iterdir())
    assert album.notes[0].startswith(f"{source} is left out: it is no picture to be shown")


@pytest.mark.parametrize(("limit", "words"), [("LARGEST", "MiB, more than"), ("PIXELS", "40 x 40")])
def test_a_picture_that_would_fill_the_memory_is_left_out(
    tmp_path, album, monkeypatch, limit, words
):
    monkeypatch.setattr(pictures, limit, 100)
    assert album.copied(picture(tmp_path / "a.png"), "a") is None
    assert words in album.notes[0]


def test_no_name_leads_out_of_the_folder_and_no_two_are_alike(tmp_path, album):
    words = ["../../a", "a", "A", "/etc/b", "", "..", "ü", "x" * 500]
    paths = [album.place(word) for word in words]
    assert all(path.parent == tmp_path / "out" for path in paths)
    assert len({path.name.lower() for path in paths}) == len(paths)
    assert [path.name for path in paths[:3]] == ["a.png", "a-2.png", "A-3.png"]
    assert max(len(path.name) for path in paths) < 80


def test_of_each_folder_only_so_many_pictures_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST", 2)
    files = [tmp_path / folder / f"{i}.png" for folder in "ab" for i in range(3)]
    kept, left_out = chosen(files)
    assert kept == [*files[:2], *files[3:5]]
    assert left_out == 2
