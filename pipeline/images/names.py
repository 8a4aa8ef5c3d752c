"""Names of files, a million in one buffer: real paths in Python, lines of UTF-8 on disk."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.textfiles import MAX_LIST, read_bytes
from dilo.pipeline.errors import DiloError

#: Names handled at once where all of them are read.
_BLOCK = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What a list holds, behind a line feed, where a line is no plain path below a folder.
_SUSPECT_PARTS: tuple[bytes, ...] = (
    b"\\",
    b"//",
    b"/\n",
    b"\n/",
    b"\n\n",
    b"/./",
    b"/../",
    b"\n./",
    b"\n../",
    b"/.\n",
)
_SUSPECT_PARTS += (b"/..\n", b"\n.\n", b"\n..\n")
_ESCAPE = re.compile(rb"\\(?:(\\)|x([0-9a-f]{2})|)")


def escaped(name: str) -> str:
    r"""Write a file name so that a line of UTF-8 holds it, as images.txt, shards and messages do.

    Examples
    --------
    >>> escaped("n01/a b.jpg"), escaped("two\nlines.jpg")
    ('n01/a b.jpg', 'two\\x0alines.jpg')
    """
    if name.isascii() and name.isprintable() and "\\" not in name:
        return name
    text = os.fsencode(name).replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", text)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Shorten paths, for captions, to the file names, with folders where those repeat.

    Parameters
    ----------
    names : iterable of str
        Paths below a folder, "/" between their parts.

    Returns
    -------
    dict of str to str
        By path, the fewest of its last parts that no other of the paths ends in, escaped.

    Examples
    --------
    >>> short_names(["train/n01/1.jpg", "train/n02/1.jpg", "train/n02/2.jpg"])
    {'train/n01/1.jpg': 'n01/1.jpg', 'train/n02/1.jpg': 'n02/1.jpg', 'train/n02/2.jpg': '2.jpg'}
    """
    endings = {name: _endings(name) for name in names}
    counts = Counter(ending for name_endings in endings.values() for ending in name_endings)
    return {
        name: escaped(next((e for e in name_endings if counts[e] == 1), name))
        for name, name_endings in endings.items()
    }


def _endings(name: str) -> list[str]:
    """List the file name, then the file name with one folder before it, and so on."""
    parts = name.split("/")
    return ["/".join(parts[first:]) for first in reversed(range(len(parts)))]


def unescaped(line: str) -> str:
    r"""Read a file name from the line that `escaped` wrote."""
    return _decode_line(line.encode())


def _fault(line: bytes) -> str:
    """Return why a line is no path below a folder; "" if it is one."""
    excerpt = line[:200].decode(errors="backslashreplace")
    try:
        name = _decode_line(line)
    except ValueError as error:
        return str(error)
    if escaped(name).encode() != line:
        return f"a line must be written as the format says, got {excerpt!r}"
    if "\0" in name or {"", ".", ".."} & set(name.split("/")):
        return f"a line must be a path below the folder of images, got {excerpt!r}"
    return ""


def _decode_line(line: bytes) -> str:
    """Read a name from a line's bytes."""
    return os.fsdecode(_ESCAPE.sub(_unescape_byte, line) if b"\\" in line else line)


def _unescape_byte(escape: re.Match[bytes]) -> bytes:
    """Return the byte that an escape stands for."""
    if escape[1]:
        return b"\\"
    if escape[2]:
        return bytes.fromhex(escape[2].decode())
    excerpt = escape.string[escape.start() : escape.start() + 4].decode(errors="replace")
    raise ValueError(rf"a backslash must be written \\, another byte \xNN, got {excerpt}")


def is_file_name(name: str) -> bool:
    """Check whether a text can be the name of a file that is not hidden."""
    return name.isprintable() and not name.startswith(".") and name != "" and "/" not in name


def folder_names(classes: Sequence[str]) -> list[str]:
    """Name a folder for each class: as it is called; where some cannot be, by their numbers.

    Examples
    --------
    >>> folder_names(["great white shark", "tench"]), folder_names(["crane", "crane"])
    (['great white shark', 'tench'], ['0', '1'])
    """
    if all(map(is_file_name, classes)) and len(set(classes)) == len(classes):
        return list(classes)
    digits = len(str(len(classes) - 1))
    return [f"{number:0{digits}d}" for number in range(len(classes))]


class Names(Sequence[str]):
    r"""An immutable sequence of file names, held as one buffer of lines.

    A million Python strings take a hundred megabytes and are copied into every loader
    worker as soon as it counts references to them; two arrays are shared and stay flat.
    In Python a name is a real path; `text`, `digest` and `read` speak of lines, which
    `escaped` writes and ``\n`` alone ends.

    Parameters
    ----------
    names : iterable of str
        Relative POSIX paths, of any bytes that a file system takes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        text = bytearray()
        for name in names:
            text += escaped(name).encode()
            text += b"\n"
        self._set_text(np.frombuffer(text, np.uint8))

    def _set_text(self, text: NDArray[np.uint8]) -> None:
        """Keep the lines, and where each of them ends."""
        self._bytes = text
        self._ends: NDArray[np.int64] = np.flatnonzero(text == ord("\n"))
        self._table: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @classmethod
    def of_text(cls, text: bytes | bytearray) -> Self:
        r"""Take lines as they stand."""
        names = cls(())
        lines = text if not text or text.endswith(b"\n") else text + b"\n"
        names._set_text(np.frombuffer(lines, np.uint8))
        return names

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a list of names, one a line, in UTF-8."""
        # No more than there is: Python makes room for all that may be read.
        return cls.of_text(read_bytes(path, min(MAX_LIST, path.stat().st_size)))

    def text(self) -> str:
        """Join the names, one a line, as `read` reads them."""
        return self._bytes.tobytes().decode()

    def digest(self) -> str:
        """Compute the SHA-256 of the names in their order, in hexadecimal digits."""
        return hashlib.sha256(self._bytes.data).hexdigest()

    def fault(self) -> str:
        """Return what is wrong with lines that somebody else may have written; "" if nothing is."""
        if self._is_plain():
            return ""
        lines = (line for block in self._lines() for line in block)
        return next(filter(None, map(_fault, lines)), "")

    def _is_plain(self) -> bool:
        """Check that no line needs a look, in a hundredth of the time that looking at all takes."""
        text = b"\n" + self._bytes.tobytes()
        controls = np.count_nonzero((self._bytes < 0x20) | (self._bytes == 0x7F))
        if controls != len(self) or any(part in text for part in _SUSPECT_PARTS):
            return False
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    def __len__(self) -> int:
        return len(self._ends)

    def _start(self, position: int) -> int:
        """Find where a line begins; the one after the last, where the text ends."""
        return int(self._ends[position - 1]) + 1 if position else 0

    def _line(self, position: int) -> bytes:
        """Return a line without its end."""
        return self._bytes[self._start(position) : self._ends[position]].tobytes()

    def _lines(self) -> Iterator[list[bytes]]:
        """Yield all lines, a block at a time."""
        for first in range(0, len(self), _BLOCK):
            last = min(first + _BLOCK, len(self))
            block = self._bytes[self._start(first) : self._start(last) - 1]
            yield block.tobytes().split(b"\n")

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "str | Names":
        # A range raises IndexError, counts from the end, and knows how slices end.
        selection = range(len(self))[index]
        if isinstance(selection, int):
            return _decode_line(self._line(selection))
        if selection.step != 1 or not selection:
            return Names(self[position] for position in selection)
        names = Names(())
        # A copy, or ten names would keep a million.
        names._set_text(
            self._bytes[self._start(selection.start) : self._start(selection.stop)].copy()
        )
        return names

    def __iter__(self) -> Iterator[str]:
        return (_decode_line(line) for block in self._lines() for line in block)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Find a name; the first call makes a table of 16 bytes a name, the rest are quick."""
        if isinstance(value, str):
            line, positions = escaped(value).encode(), range(len(self))[start:stop]
            hashes, order = self._hash_table()
            wanted = hash(line)
            place = int(hashes.searchsorted(wanted))
            while place < len(hashes) and hashes.item(place) == wanted:
                position: int = order.item(place)
                if position in positions and self._line(position) == line:
                    return position
                place += 1
        raise ValueError(f"must be one of {len(self)} names, got {value!r}")

    def __contains__(self, value: object) -> bool:
        try:
            self.index(value)
        except ValueError:
            return False
        return True

    def first_repeated(self) -> int | None:
        """Find the first name that stands earlier too.

        Returns its position; None where each name stands once.
        """
        hashes, order = self._hash_table()
        suspects = np.sort(order[1:][hashes[1:] == hashes[:-1]])
        return next((int(i) for i in suspects if self.index(self[int(i)]) < i), None)

    def _hash_table(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hash all lines; return the sorted hashes, and each one's position, equals in order."""
        if self._table is None:
            line_hashes = (hash(line) for block in self._lines() for line in block)
            hashes = np.fromiter(line_hashes, np.int64, len(self))
            order = np.argsort(hashes, kind="stable")
            self._table = hashes[order], order
        return self._table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and np.array_equal(self._bytes, other._bytes)

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": None}  # another process hashes otherwise


def find_rows(paths: Iterable[str], names: Names, root: Path, rule: str | None = None) -> list[int]:
    """Find images by their paths, or by their paths in the folder `root`.

    Raises `DiloError` for a path that is neither; `rule` says what it must be, if not that.
    """
    rows = []
    for path in paths:
        row = next((names.index(n) for n in (path, _relative_to(root, path)) if n in names), None)
        if row is None:
            raise DiloError(
                f"--query must be {rule or f'an image in {root}'}, got {path}: "
                f"give its path in {root if rule else 'that folder'}"
            )
        rows.append(row)
    return rows


def _relative_to(root: Path, path: str) -> str:
    """Write a path relative to a folder, links in either followed."""
    whole, folder = Path(path).resolve(), root.resolve()
    return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else path
