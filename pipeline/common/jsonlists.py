"""The lists of a JSON file of any size, an entry at a time: what each is, and where it stands."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from dilo.pipeline.errors import ContentError

#: Bytes that are read at once.
BLOCK = 2**22
#: Bytes of the longest entry.
MAX_ENTRY = 2**26
_BLANKS = re.compile(r"[ \t\n\r]*")
#: More characters than stand between two digits of a number: "e+".
_LONGEST_SIGN = 3
#: A byte-order mark, a character a byte.
_BOM = "\xef\xbb\xbf"


class Readable(Protocol):
    """A file, or what reads from one."""

    def read(self, count: int, /) -> bytes:
        """Read at most so many bytes; none at the end."""


class ListEntry(NamedTuple):
    """An entry of a list that stands at the top of a file."""

    #: The list's name, and the entry's position in it.
    name: str
    number: int
    #: Where in the file it begins, and how many bytes it has.
    offset: int
    length: int
    #: What it is.
    value: Any


def iterate_lists(file: Readable, source: object) -> Iterator[ListEntry]:
    """Yield the entries of all lists at the top of a JSON object; memory holds a few of them.

    What is no list is passed over. `source` names the file where it is no such object, which is a
    `ContentError`.
    """
    text = _Text(file)
    try:
        text.take("{")
        while text.mark() != "}":
            name, _, _ = text.value()
            text.take(":")
            if text.mark() == "[":
                yield from _entries(text, str(name))
            else:
                text.value()
            text.take_comma_before("}")
        text.take("}")
        text.take("")
    except RecursionError:
        raise ContentError(f"{source} must be JSON, got brackets nested too deep") from None
    except ValueError as error:  # of JSON, or of its encoding
        raise ContentError(f"{source} must be JSON, but reading it failed: {error}") from error


def _entries(text: "_Text", name: str) -> Iterator[ListEntry]:
    """Yield the entries of the list that begins here."""
    text.take("[")
    number = 0
    while text.mark() != "]":
        value, offset, length = text.value()
        yield ListEntry(name, number, offset, length, value)
        text.take_comma_before("]")
        number += 1
    text.take("]")


class _Text:
    """A file as text of a character a byte, of which a part is in memory."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._decode = json.JSONDecoder().raw_decode
        self._part, self._at = "", 0
        #: Where in the file the part begins.
        self._start = 0
        while len(self._part) < len(_BOM) and self._read_more():
            pass
        if self._part.startswith(_BOM):
            self._at = len(_BOM)

    def _read_more(self) -> bool:
        """Read on, and forget what was taken; tell whether there was more."""
        block = self._file.read(max(BLOCK, len(self._part) - self._at))
        if block:
            self._start += self._at
            self._part, self._at = self._part[self._at :] + block.decode("latin-1"), 0
        return bool(block)

    def mark(self) -> str:
        """Return the next character that is not blank; "" at the end."""
        while True:
            match = _BLANKS.match(self._part, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._part):
                return self._part[self._at]
            if not self._read_more():
                return ""

    def take(self, mark: str) -> None:
        """Take a character that must be next, or the end."""
        if (got := self.mark()) != mark:
            raise ValueError(
                f"byte {self._start + self._at} must be {mark or 'the end'}, got "
                f"{got or 'the end of the file'}"
            )
        self._at += len(mark)

    def take_comma_before(self, end: str) -> None:
        """Take the comma behind a value, unless the end of the list or object is next."""
        if self.mark() != end:
            self.take(",")

    def value(self) -> tuple[Any, int, int]:
        """Take a value; return it, where it begins, and its length."""
        self.mark()
        while True:
            try:
                value, end = self._decode(self._part, self._at)
            except ValueError:  # of what is wrong, or cut off
                if len(self._part) - self._at > MAX_ENTRY or not self._read_more():
                    raise
                continue
            # A number near the end of the part may go on: "1", ".", "5".
            if len(self._part) - end >= _LONGEST_SIGN or not self._read_more():
                break
        start, self._at = self._at, end
        plain = self._part[start:end]
        if not plain.isascii():
            value = json.loads(plain.encode("latin-1"))
        return value, self._start + start, end - start
