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


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a regular file, whole."""
    with _opened(path, most) as file:
        # As much as it says, for Python makes room for all that is asked; files of /proc say that
        # they are empty, and one that grows says too little.
        content = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
        while len(content) <= most and (more := file.read(min(2**16, most + 1 - len(content)))):
            content += more
        if len(content) > most:
            raise ContentError(_too_large(path, most, len(content)))
        return content


def read_lines(
    path: Path, most: int = MAX_LIST, longest: int = 2**16
) -> Generator[bytes, None, None]:
    """Read a long list, a line at a time."""
    with _opened(path, most) as file:
        for number in itertools.count(1):
            line = file.readline(longest + 1)
            if len(line) > longest:
                raise ContentError(
                    f"{path}, line {number}: must have at most {longest} bytes: is it the file "
                    f"that was meant?"
                )
            if not line:
                return
            yield line.removeprefix(BOM_UTF8) if number == 1 else line


def without_waiting(path: str, flags: int) -> int:
    """Open a file for `open`, which would wait for a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def _opened(path: Path, most: int) -> Iterator[BinaryIO]:
    """Open a regular file of bounded size."""
    with open(path, "rb", opener=without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ContentError(f"{path} must be a regular file, got a pipe or a device")
        if status.st_size > most:
            raise ContentError(_too_large(path, most, status.st_size))
        yield file


def _too_large(path: Path, most: int, size: int) -> str:
    """Say that a file is too large."""
    return f"{path} must have at most {most} bytes, got {size}: is it the file that was meant?"


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark."""
    try:
        text = read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContentError(f"{path} must be text in UTF-8, got other bytes: {error}") from error
    return text.replace("\r\n", "\n")


def parse_json(text: str | bytes, source: object) -> Any:
    """Read JSON, whoever wrote it."""
    try:
        return json.loads(text, parse_int=_integer)
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


def read_json(path: Path, most: int = MAX_BYTES) -> Any:
    """Read a file of JSON."""
    return parse_json(read_text(path, most), path)


def _integer(digits: str) -> int:
    """Read an integer that a program can use."""
    number = int(digits) if len(digits) <= 21 else MAX_INTEGER
    if abs(number) >= MAX_INTEGER:
        raise ValueError(f"an integer must be below 2**64, got {digits[:20]}...")
    return number
