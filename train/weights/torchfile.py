"""Files of torch.save to tensors and plain values, without running what a file may hold."""

import errno
import io
import os
import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from dilo.pipeline.common.printing import printable
from dilo.pipeline.common.textfiles import without_waiting
from dilo.pipeline.errors import CheckpointError, require_access
from dilo.train.weights.filekinds import kind_of, kind_of_archive
from dilo.train.weights.pickled import survey

#: How torch.save began a file before torch 1.6: with a number, pickled.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: How it begins one since.
_ARCHIVE = b"PK\x03\x04"
#: Bytes by which the kind of a file is told.
START = 1024
#: Characters of a library's own words that are shown.
_MOST_WORDS = 200
#: Deeper nesting, more values and larger integers are no checkpoint's, and no program's to use.
_DEEPEST = 100
_MOST_VALUES = 10_000_000
_BEYOND = 2**64
#: What tensors that repeat few numbers may stand for, in bytes.
_MOST_REPEATED = 2**28
#: Stands for what is not kept.
DROPPED = object()


def read(path: Path) -> object:
    """Load a file of tensors and plain values, whoever wrote it, and refuse any other."""
    with refusing(path):
        if begins_as_legacy(require_torch_file(path)):
            content = load_allowed(survey_legacy(path)[0])
        else:
            survey_archive(path)
            content = load_allowed(path)
        plain(content, Budget(path.stat().st_size))
        return content


def load_allowed(file: Path | io.BytesIO) -> object:
    """Let torch read a file in its own unpickler, which calls only what it has been allowed to."""
    if isinstance(file, Path):  # torch would go by its name
        with file.open("rb") as opened:
            return _load(opened)
    return _load(file)


def _load(file: BinaryIO) -> object:
    """Load from an open file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on odd pickles, torch warns before it refuses
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    return content


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile file leads to into a refusal in words."""
    try:
        yield
    except CheckpointError:
        raise
    # A damaged file in one of the older formats may fail in any way at all.
    except Exception as error:
        _require_memory(error, path)
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and foreign:
            raise CheckpointError(
                f"{path} must hold only tensors and plain values, got a pickled "
                f"{shown(foreign[1])}, which could run code: where you trust the file, "
                'save its weights alone again, torch.save({"arch": ..., "state_dict": ...}, FILE)'
            ) from error
        raise CheckpointError(
            f"{path} must be a whole file that torch.save wrote, but reading it failed "
            f"({reason_of(error)}): copy it again, or take another checkpoint"
        ) from error


def reason_of(error: BaseException) -> str:
    """Describe in one short line why a library refused a file."""
    text = str(error)
    if "weights_only" in text:  # the reason stands after the advice
        text = text.rpartition("WeightsUnpickler error:")[2]
    line = "" if "weights_only" in text else text.strip().partition("\n")[0]
    return f"{type(error).__name__}: {shown(line, _MOST_WORDS)}" if line else type(error).__name__


def shown(words: str, most: int = 60) -> str:
    """Make a file's words such that a sentence can hold them."""
    return " ".join(printable(words, most).split())


def _require_memory(error: Exception, path: Path) -> None:
    """Raise what the system is to blame for as such: torch has its own words for short memory."""
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    require_access(error, path)


def require_torch_file(path: Path) -> bytes:
    """Refuse what is no file that torch.save can have written, and say what it is."""
    start = read_start(path)
    if begins_as_legacy(start) or start.startswith(_ARCHIVE):
        return start
    kind, advice = kind_of(start)
    raise CheckpointError(
        f"{path} must be a whole file that torch.save wrote, got {kind}: {advice}"
    )


def read_start(path: Path) -> bytes:
    """Read how a regular file begins."""
    with open(path, "rb", opener=without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CheckpointError(
                f"{path} must be a regular file, got a pipe or a device: copy it into a file first"
            )
        return file.read(START)


def begins_as_legacy(start: bytes) -> bool:
    """Check whether a file begins as torch.save did before 1.6, by any protocol of pickles."""
    return start[:1] + b"\x02" + start[2 : len(LEGACY)] == LEGACY and start[1] in range(2, 6)


def survey_archive(path: Path) -> set[str]:
    """List the names in an archive, and refuse one whose parts are not what they say."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        sizes = {member.filename: member.file_size for member in members}
        if len(sizes) < len(members):
            raise ValueError("an archive with two members of one name")
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
        if packed or sum(sizes.values()) > path.stat().st_size:
            raise ValueError("an archive whose members are larger than the file: torch packs none")
        pickles = [name for name in sizes if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in sizes):
            kind, advice = kind_of_archive(list(sizes))
            raise CheckpointError(
                f"{path} must be a file that torch.save wrote, got {kind}: {advice}"
            )
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"wrong bytes in {damaged}")
        summary = survey(io.BytesIO(archive.read(pickles[0])))
    prefix = pickles[0].removesuffix(".pkl")
    for key, size in summary.storages.items():
        if size > sizes.get(f"{prefix}/{key}", 0):
            raise ValueError(f"tensors of {size} bytes in a part of fewer")
    return summary.names


def survey_legacy(path: Path, stand_in: str | None = None) -> tuple[io.BytesIO, set[str]]:
    """List the names in a file of the older format, and take its classes and sources apart.

    That format keeps a module's class as ("module", class, file, source), which torch reads
    only where it may run code. As a call of `stand_in` with these four it reads it anywhere.
    """
    content = path.read_bytes()
    file = io.BytesIO(content)
    for _ in ("magic number", "version of the format", "kind of machine"):
        survey(file)
    summary = survey(file)
    if sum(summary.storages.values()) > len(content):
        raise ValueError("tensors of more bytes than the file has")
    parts: list[Any] = []
    position = 0
    call = "c{}\n{}\n".format(*stand_in.rsplit(".", 1)).encode() if stand_in else b""
    for start, end in summary.classes if stand_in else ():
        parts += [content[position:start], call, content[start:end], pickle.REDUCE]
        position = end + len(pickle.BINPERSID)
    return io.BytesIO(b"".join([*parts, content[position:]])), summary.names


class Budget:
    """How much a file may still stand for.

    Parameters
    ----------
    size : int
        Bytes of the file: the numbers of its tensors may not be more.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self.values = 0
        self.storages: set[int] = set()

    def value(self) -> None:
        """Count a value; one that is held in two places is two."""
        self.values += 1
        if self.values > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES} values")

    def tensor(self, tensor: Tensor) -> None:
        """Count the numbers of a tensor."""
        if tensor.layout != torch.strided or tensor.is_meta:
            return
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.storages:
            self.storages.add(storage.data_ptr())
            self.left -= storage.nbytes()
        if self.left < 0:
            raise ValueError("tensors of more bytes than the file has")
        expanded = tensor.numel() * tensor.element_size()
        if expanded > max(storage.nbytes(), _MOST_REPEATED):
            raise ValueError(f"a tensor of {expanded} bytes made of {storage.nbytes()}")


def plain(value: object, budget: Budget, containers: tuple[int, ...] = ()) -> object:
    """Keep tensors and plain values; a container that holds itself is not plain."""
    budget.value()
    if isinstance(value, Tensor):
        budget.tensor(value)
        return value
    if isinstance(value, int):
        return value if abs(value) < _BEYOND else DROPPED
    if value is None or isinstance(value, str | bytes | float):
        return value
    if not isinstance(value, dict | list | tuple) or id(value) in containers:
        return DROPPED
    if len(containers) == _DEEPEST:
        raise ValueError(f"values nested deeper than {_DEEPEST}")
    containers = (*containers, id(value))
    if isinstance(value, dict):
        # The file may have given an OrderedDict attributes, "items" among them.
        pairs = [
            (plain(k, budget, containers), plain(v, budget, containers))
            for k, v in dict.items(value)
        ]
        return {k: v for k, v in pairs if k is not DROPPED and v is not DROPPED}
    items = [plain(item, budget, containers) for item in value]
    plain_items = [item for item in items if item is not DROPPED]
    return plain_items if isinstance(value, list) else tuple(plain_items)
