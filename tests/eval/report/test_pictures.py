"""Pictures of the page: copied whole, embedded while there is room, named without danger."""

import base64
import io

import pytest
from PIL import Image
from support.reports import picture

from dilo.eval.report import pictures
from dilo.eval.report.pictures import ImageStore, first_of_each_folder


@pytest.fixture
def store(tmp_path):
    (tmp_path / "out").mkdir()
    return ImageStore(tmp_path / "out")


def shown(found):
    """Decode what the page holds."""
    kind, _, data = found.data.partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert kind == f"data:image/{image.format.lower()}"
        assert image.size == (found.width, found.height)
        return image.convert("RGB")


def test_a_small_picture_is_copied_and_stands_in_the_page_as_it_is(tmp_path, store):
    source = picture(tmp_path / "a.png")
    found = store.copy(source, "run", "a")
    assert (tmp_path / "out" / "run-a.png").read_bytes() == source.read_bytes()
    assert shown(found).tobytes() == Image.open(source).tobytes()


def test_a_page_that_would_grow_too_large_holds_no_more_pictures(tmp_path, store, monkeypatch):
    source = picture(tmp_path / "a.png")
    monkeypatch.setattr(store, "_room", source.stat().st_size)
    first, second = store.copy(source, "a"), store.copy(source, "b")
    assert first.data
    assert not second.data
    assert (tmp_path / "out" / "b.png").exists()
    assert store.notes == ["b.png is beside the page, not in it: the page would be large"]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n torn", None])
def test_what_is_no_sound_picture_is_skipped_and_noted(tmp_path, store, content):
    source = picture(tmp_path / "a.png")
    source.write_bytes(source.read_bytes()[:1000] if content is None else content)
    assert store.copy(source, "a") is None
    assert not list((tmp_path / "out").iterdir())
    assert store.notes[0].startswith(f"{source} is skipped: it is no picture to be shown")


@pytest.mark.parametrize(("limit", "words"), [("LARGEST", "MiB, more than"), ("PIXELS", "40 x 40")])
def test_a_picture_that_would_fill_the_memory_is_skipped(
    tmp_path, store, monkeypatch, limit, words
):
    monkeypatch.setattr(pictures, limit, 100)
    assert store.copy(picture(tmp_path / "a.png"), "a") is None
    assert words in store.notes[0]


def test_no_name_leads_out_of_the_folder_and_no_two_are_alike(tmp_path, store):
    words = ["../../a", "a", "A", "/etc/b", "", "..", "ü", "x" * 500]
    paths = [store.path(word) for word in words]
    assert all(path.parent == tmp_path / "out" for path in paths)
    assert len({path.name.lower() for path in paths}) == len(paths)
    assert [path.name for path in paths[:3]] == ["a.png", "a-2.png", "A-3.png"]
    assert max(len(path.name) for path in paths) < 80


def test_of_each_folder_only_so_many_pictures_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST", 2)
    files = [tmp_path / folder / f"{i}.png" for folder in "ab" for i in range(3)]
    shown, more = first_of_each_folder(files)
    assert shown == [*files[:2], *files[3:5]]
    assert more == 2
