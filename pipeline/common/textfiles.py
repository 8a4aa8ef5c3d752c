"""Read small files that people and programs write: whole, bounded, and never for ever."""

import contextlib
import itertools
import json
import os
import stat
import tomllib
from codecs import BOM_UTF8
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dilo.pipeline.errors import ContentError

#: Bytes of the largest record, recipe or table that is read.
MAX_BYTES = 64 * 2**20
#: Bytes of the largest list of names: a hundred million of them.
MAX_LIST = 2**34
#: No integer of ours is larger: seeds are below it.
MAX_INTEGER = 2**64


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a regular file, whole; raise `ContentError` if it is none, or has more bytes."""
    with _open_regular(path, max_bytes) as file:
        # As much as it says, for Python makes room for all that is asked; files of /proc say that
        # they are empty, and one that grows says too little.
        content = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
        while len(content) <= max_bytes and (
            piece := file.read(min(2**16, max_bytes + 1 - len(content)))
        ):
            content += piece
        if len(content) > max_bytes:
            raise ContentError(_too_large(path, max_bytes, len(content)))
        return content


def read_lines(
    path: Path, max_bytes: int = MAX_LIST, max_line: int = 2**16
) -> Generator[bytes, None, None]:
    """Yield the lines of a long list with their ends, without a byte-order mark."""
    with _open_regular(path, max_bytes) as file:
        for number in itertools.count(1):
            line = file.readline(max_line + 1)
            if len(line) > max_line:
                raise ContentError(
                    f"{path}, line {number}: must have at most {max_line} bytes: is it the right "
                    f"file?"
                )
            if not line:
                return
            yield line.removeprefix(BOM_UTF8) if number == 1 else line


def without_waiting(path: str, flags: int) -> int:
    """Open a file for `open`, which would wait for a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def _open_regular(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file of bounded size."""
    with open(path, "rb", opener=without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ContentError(f"{path} must be a regular file, got a pipe or a device")
        if status.st_size > max_bytes:
            raise ContentError(_too_large(path, max_bytes, status.st_size))
        yield file


def _too_large(path: Path, max_bytes: int, size: int) -> str:
    """Write the sentence on a file that is too large."""
    return f"{path} must have at most {max_bytes} bytes, got {size}: is it the right file?"


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark."""
    try:
        text = read_bytes(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContentError(f"{path} must be text in UTF-8, got other bytes: {error}") from error
    return text.replace("\r\n", "\n")


def parse_json(text: str | bytes, source: object, *, any_integer: bool = False) -> Any:
    """Read JSON, whoever wrote it; integers of 64 bits, unless `any_integer`."""
    try:
        return json.loads(text, parse_int=None if any_integer else _integer)
    except RecursionError:
        raise ContentError(f"{source} must be JSON, got brackets nested too deep") from None
    except ValueError as error:  # of JSON, or of its encoding
        raise ContentError(f"{source} must be JSON, but reading it failed: {error}") from error


def parse_toml(text: str, source: object) -> dict[str, Any]:
    """Read TOML, whoever wrote it."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ContentError(f"{source} must be TOML, got brackets nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise ContentError(f"{source} must be TOML: {error}") from error
    except ValueError:  # of Python, which reads no integer of thousands of digits
        raise ContentError(f"{source}: an integer must be below 2**64, got a longer one") from None


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a file of JSON."""
    return parse_json(read_text(path, max_bytes), path)


def _integer(digits: str) -> int:
    """Read an integer that a program can use."""
    number = int(digits) if len(digits) <= 21 else MAX_INTEGER
    if abs(number) >= MAX_INTEGER:
        raise ValueError(f"an integer must be below 2**64, got {digits[:20]}...")
    return number
