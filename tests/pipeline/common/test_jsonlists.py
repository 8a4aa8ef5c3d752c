"""Lists of a JSON file, an entry at a time: as json reads them, wherever a block ends."""

import io
import json

import pytest

from dilo.pipeline.common import jsonlists
from dilo.pipeline.common.jsonlists import iterate_lists
from dilo.pipeline.errors import ContentError

CONTENT = {
    "info": {"images": [1, 2], "year": 2022},
    "images": [{"id": 1, "name": 'a "quoted" ] }, ü 图.jpg'}, {"id": 2, "name": "b\n\\"}],
    "version": 1.25,
    "none": [],
    "annotations": [12, -3.5e2, "x", None, True, [1, [2]], {}],
}


def entries(content: bytes):
    return list(iterate_lists(io.BytesIO(content), "f.json"))


@pytest.mark.parametrize("block", [1, 2, 7, 2**20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_entries_are_those_of_json_and_stand_where_it_says(monkeypatch, block, indent, ascii_only):
    monkeypatch.setattr(jsonlists, "BLOCK", block)
    content = json.dumps(CONTENT, indent=indent, ensure_ascii=ascii_only).encode()
    read = entries(b"\xef\xbb\xbf" + content)
    assert [(entry.name, entry.number, entry.value) for entry in read] == [
        (name, number, value)
        for name in ("images", "annotations")
        for number, value in enumerate(CONTENT[name])
    ]
    for entry in read:
        part = (b"\xef\xbb\xbf" + content)[entry.offset : entry.offset + entry.length]
        assert json.loads(part) == entry.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "byte 0 must be {, got the end of the file"),
        (b"[1, 2]", "byte 0 must be {, got ["),
        (b"\x89PNG", "byte 0 must be {, got "),
        (b'{"a": [1, 2', "byte 11 must be ,, got the end of the file"),
        (b'{"a": [1 2]}', "byte 9 must be ,, got 2"),
        (b'{"a": [1, {"b": ', "reading it failed"),
        (b'{"a": [1]} {"a": [2]}', "byte 11 must be the end, got {"),
        (b'{"a" 1}', "byte 5 must be :, got 1"),
        (b'{"a": ["\xff"]}', "reading it failed: 'utf-8' codec"),
        (b'{"a": [' + b"[" * 200_000, "nested too deep"),
        (b'{"a": [' + b"1" * 5000 + b"]}", "reading it failed"),
    ],
)
def test_what_is_no_object_of_json_is_refused_with_its_place(content, words):
    with pytest.raises(ContentError) as caught:
        entries(content)
    assert str(caught.value).startswith("f.json must be JSON")
    assert words in str(caught.value)


def test_an_entry_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(jsonlists, "BLOCK", 8)
    monkeypatch.setattr(jsonlists, "MAX_ENTRY", 64)
    file = io.BytesIO(b'{"a": ["' + b"x" * 10_000)
    with pytest.raises(ContentError, match="reading it failed"):
        list(iterate_lists(file, "f.json"))
    assert file.tell() < 1000
