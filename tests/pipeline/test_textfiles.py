"""Text that people and programs write: read whole, bounded, and never for ever."""

import json
import os
from pathlib import Path

import pytest

from dilo.pipeline.errors import ContentError
from dilo.pipeline.textfiles import MAX_INTEGER, parse_json, read_bytes, read_json, read_text


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_a_file_is_read_whole_up_to_its_bound(path):
    path.write_bytes(b"12345")
    assert read_bytes(path) == read_bytes(path, 5) == b"12345"
    with pytest.raises(ContentError, match=r"file must have at most 4 bytes, got 5: is it the f"):
        read_bytes(path, 4)


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(path):
    os.mkfifo(path)
    with pytest.raises(ContentError, match="must be a regular file, got a pipe or a device"):
        read_text(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_refused_through_a_link_too(path, device):
    path.symlink_to(device)
    with pytest.raises(ContentError, match="must be a regular file"):
        read_json(path)


def test_a_file_that_says_less_than_it_has_is_bounded_by_what_it_has():
    with pytest.raises(ContentError, match="must have at most 3 bytes, got 4"):
        read_bytes(Path("/proc/self/status"), 3)


def test_a_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa\r\nb\n", b"a\nb\n"])
def test_text_is_read_with_a_byte_order_mark_or_without_and_with_ends_of_lines_of_any_system(
    path, content
):
    path.write_bytes(content)
    assert read_text(path) == "a\nb\n"


def test_bytes_that_are_no_utf_8_are_refused(path):
    path.write_bytes(b"caf\xe9")
    with pytest.raises(ContentError, match="file must be text in UTF-8, got other bytes"):
        read_text(path)


def test_json_with_a_byte_order_mark_is_read(path):
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null]}')
    assert read_json(path) == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200_000, "nested too deep"),
        ('{"a":' * 200_000, "nested too deep"),
        ("9" * 5000, "must be below 2"),
        (f"[-{MAX_INTEGER}]", "must be below 2"),
        ("{", "must be JSON, but reading it failed"),
        ("", "must be JSON, but reading it failed"),
    ],
)
def test_json_that_no_program_wrote_is_refused_in_a_sentence(path, text, words):
    path.write_text(text)
    with pytest.raises(ContentError, match=words):
        read_json(path)


def test_integers_up_to_64_bits_are_read():
    numbers = [MAX_INTEGER - 1, -(2**63), 0]
    assert parse_json(json.dumps(numbers), "here") == numbers


def test_json_of_bytes_that_are_no_text_is_refused():
    with pytest.raises(ContentError, match="here must be JSON"):
        parse_json(b"\xff\xfe\x00", "here")
