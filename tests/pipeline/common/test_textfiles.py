"""Text that people and programs write: read whole, bounded, and never for ever."""

import json
import os
import re
from pathlib import Path

import pytest

from dilo.pipeline.common.textfiles import (
    MAX_INTEGER,
    parse_json,
    parse_toml,
    read_bytes,
    read_json,
    read_lines,
    read_text,
)
from dilo.pipeline.errors import ContentError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_a_file_is_read_whole_up_to_its_bound(path):
    path.write_bytes(b"12345")
    assert read_bytes(path) == read_bytes(path, 5) == b"12345"
    with pytest.raises(ContentError, match=r"file must have at most 4 bytes, got 5: is it the r"):
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


def test_lines_are_read_one_by_one_without_a_byte_order_mark(path):
    path.write_bytes(b"\xef\xbb\xbfa\r\n\nb")
    assert list(read_lines(path)) == [b"a\r\n", b"\n", b"b"]
    path.write_bytes(b"")
    assert list(read_lines(path)) == []


def test_a_line_without_end_is_refused_before_it_takes_all_memory(path):
    with path.open("wb") as file:
        file.write(b"a\n")
        file.truncate(2**40)  # a hole, which takes no room
    with pytest.raises(
        ContentError, match="must have at most 17179869184 bytes, got 1099511627776"
    ):
        list(read_lines(path))
    with pytest.raises(ContentError, match="file, line 2: must have at most 65536 bytes"):
        list(read_lines(path, 2**41))


def test_a_list_that_is_a_pipe_or_a_device_is_refused_at_once(path, tmp_path):
    os.mkfifo(path)
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in (path, tmp_path / "zero"):
        with pytest.raises(ContentError, match="must be a regular file"):
            list(read_lines(name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 200_000, "here must be TOML, got brackets nested too deep"),
        ("a = " + "{b=" * 200_000, "here must be TOML, got brackets nested too deep"),
        ("a = " + "9" * 5000, "here: an integer must be below 2"),
        ("= 3", "here must be TOML: Invalid statement"),
    ],
)
def test_toml_that_no_program_wrote_is_refused_in_a_sentence(text, words):
    with pytest.raises(ContentError, match=words):
        parse_toml(text, "here")
    assert parse_toml("[a]\nb = 3", "here") == {"a": {"b": 3}}


def test_no_other_door_reads_text():
    # The doctor, `processes` and `devices` read what the kernel writes; a child answers its parent;
    # recipes of ours lie in the package.
    doors = re.compile(
        r"\bjson\.load\(|\bjson\.loads\((?!\s*json\.dumps)|\.read_text\(|tomllib\.load"
    )
    others = {
        "pipeline/compute/isolation.py",
        "pipeline/common/textfiles.py",
        "train/recipes/files.py",
    }
    others |= {"pipeline/common/processes.py", "train/runtime/devices.py"}
    others.add("train/recipes/paper.py")  # its own file
    # What stands in an array or in the head of a file of another format, read within bounds.
    others |= {"pipeline/images/archiveindex.py", "pipeline/images/parquets.py"}
    others.add("pipeline/common/jsonlists.py")  # an entry of a long list, read within bounds
    root = Path(__file__).parents[3]
    if not (root / "pipeline").is_dir():
        pytest.skip("no sources here")
    sources = [
        path for part in ("pipeline", "train", "eval") for path in (root / part).rglob("*.py")
    ]
    found = {p.relative_to(root).as_posix() for p in sources if doors.search(p.read_text())}
    assert {name for name in found if not name.startswith("pipeline/doctor/")} <= others
