"""Files of torch.save to tensors and plain values, without running what a file may hold."""

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError, require_access

#: How torch.save began a file before torch 1.6: with a number, pickled.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: Names of other programs that one file may hold; a checkpoint has a handful.
_MOST_NAMES = 1000

_STRINGS = ("BINUNICODE", "SHORT_BINSTRING", "BINSTRING")
_DROPPED = object()


class Inert:
    """Stands for whatever another program's pickle names: takes anything, does nothing."""

    __slots__ = ()

    def __new__(cls, *ignored: object) -> Self:
        """Make one."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class InertClass:
    """Gives `Inert` itself, for a class that a file keeps together with its source.

    It is called with the word "module", the class, and the name and text of its source file.
    """

    __slots__ = ()

    def __new__(cls, *ignored: object) -> Any:
        """Give the class instead."""
        return Inert

    def __setstate__(self, state: object) -> None:
        pass


def read(path: Path) -> object:
    """Load a file of tensors and plain values, whoever wrote it, and refuse any other.

    Parameters
    ----------
    path : Path
        What torch.save wrote.

    Returns
    -------
    object
        Its content, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds an object that only running code could make.
    """
    with _refusing(path):
        _check_sums(path)
        return _load(path)


def read_foreign(path: Path) -> object:
    """Load the tensors and plain values of a file that may hold objects of other programs.

    The programs need not be installed, and nothing of theirs is imported or run: every name
    that torch does not itself allow stands for `Inert`, and what comes of it is dropped.

    Parameters
    ----------
    path : Path
        What torch.save of any version wrote.

    Returns
    -------
    object
        What is left of its content, on the CPU: tensors, numbers, text, bytes, None, and
        dictionaries, lists and tuples of these.

    Raises
    ------
    CheckpointError
        If the file is damaged, or so made that torch will not read it without running code.
    """
    with _refusing(path):
        _check_sums(path)
        file: Path | io.BytesIO = path
        if zipfile.is_zipfile(path):
            names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        elif _begins_with(path, LEGACY):
            file, names = _without_sources(path)
        else:
            names = set()
        if len(names) > _MOST_NAMES:
            raise ValueError(f"it names {len(names)} classes of other programs")
        inert: list[Any] = [(Inert, name) for name in names]
        with torch.serialization.safe_globals([*inert, _INERT_CLASS]):
            return _plain(_load(file), {})


_INERT_CLASS = (InertClass, f"{__name__}.{InertClass.__name__}")


def _load(file: Path | io.BytesIO) -> object:
    """Let torch read a file in its own unpickler, which calls only what it has been allowed to."""
    if isinstance(file, Path):  # torch would go by its name
        with file.open("rb") as opened:
            return _loaded(opened)
    return _loaded(file)


def _loaded(file: BinaryIO) -> object:
    """Load from an open file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on odd pickles, torch warns before it refuses
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    return content


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile file leads to into a refusal in words."""
    try:
        yield
    # A damaged file in one of the older formats may fail in any way at all.
    except Exception as error:
        require_access(error, path)
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and foreign:
            raise CheckpointError(
                f"{path} must hold only tensors and plain values, got a pickled {foreign[1]}, "
                "which could run code: where you trust the file, save its weights alone again, "
                'torch.save({"arch": ..., "state_dict": ...}, FILE)'
            ) from error
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} must be a whole file that torch.save wrote, but reading it failed "
            f"({type(error).__name__}: {reason}): copy it again, or take another checkpoint"
        ) from error


def _check_sums(path: Path) -> None:
    """Compare the sums of an archive with its content, which torch.load does not."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (member := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong bytes in {member}")


def _begins_with(path: Path, start: bytes) -> bool:
    """Tell whether a file begins with some bytes."""
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _without_sources(path: Path) -> tuple[Path | io.BytesIO, set[str]]:
    """List the names in a file of the older format, and part its classes from their sources.

    That format keeps a module's class as ("module", class, file, source), which torch reads
    only where it may run code. As a call of `InertClass` with these four it reads it anywhere.
    """
    with path.open("rb") as file:
        for _ in ("magic number", "version of the format", "kind of machine"):
            for _ in pickletools.genops(file):
                pass
        names, spans = _scan(file)
    if not spans:
        return path, names
    whole = memoryview(path.read_bytes())
    parts: list[Any] = []
    done = 0
    for start, end in spans:
        call = "c{}\n{}\n".format(*_INERT_CLASS[1].rsplit(".", 1)).encode()
        parts += [whole[done:start], call, whole[start:end], pickle.REDUCE]
        done = end + len(pickle.BINPERSID)
    return io.BytesIO(b"".join([*parts, whole[done:]])), names


def _scan(file: io.BufferedReader) -> tuple[set[str], list[tuple[int, int]]]:
    """Read a pickle without doing what it says: its names, and where its kept classes lie.

    These begin at the mark of a tuple and end at the instruction that makes it a reference.
    """
    names: set[str] = set()
    spans: list[tuple[int, int]] = []
    marks: list[tuple[int, bool]] = []  # where, and whether the word "module" comes next
    words: set[int] = set()  # under which numbers that word can be got again
    closed, before, text = (0, False), "", None
    argument: Any
    for opcode, argument, position in pickletools.genops(file):
        name, where = opcode.name, position or 0
        if name == "GLOBAL":
            names |= _spellings(*argument.split(" ", 1))
        elif name in ("BINPUT", "LONG_BINPUT"):
            if text == "module":
                words.add(argument)
            continue  # it leaves the stack as it was
        text = argument if name in _STRINGS else None
        if before == "MARK" and (text == "module" or ("GET" in name and argument in words)):
            marks[-1] = (marks[-1][0], True)
        if name == "MARK":
            marks.append((where, False))
        elif pickletools.markobject in opcode.stack_before:
            closed = marks.pop()
        elif name == "BINPERSID" and before == "TUPLE" and closed[1]:
            spans.append((closed[0], where))
        before = name
    return names, spans


def _spellings(module: str, name: str) -> set[str]:
    """Spell a global as the file does, and as Python 3 does where Python 2 wrote it."""
    module_3 = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    return {f"{module}.{name}", f"{module_3}.{name}"}


def _plain(value: object, seen: dict[int, object]) -> object:
    """Keep tensors and plain values; a container that holds itself is not plain."""
    if value is None or isinstance(value, Tensor | str | bytes | int | float):
        return value
    if not isinstance(value, dict | list | tuple):
        return _DROPPED if seen else None
    if id(value) not in seen:
        seen[id(value)] = _DROPPED
        if isinstance(value, dict):
            # The file may have given an OrderedDict attributes, "items" among them.
            pairs = [(_plain(k, seen), _plain(v, seen)) for k, v in dict.items(value)]
            seen[id(value)] = {k: v for k, v in pairs if k is not _DROPPED and v is not _DROPPED}
        else:
            items = [_plain(item, seen) for item in value]
            kept = [item for item in items if item is not _DROPPED]
            seen[id(value)] = kept if isinstance(value, list) else tuple(kept)
    return seen[id(value)]
