"""Files that a user names to be written: of the right kind, and in place of no other kind's."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from dilo.pipeline.common.textfiles import without_waiting
from dilo.pipeline.errors import DiloError, require_access

#: Bytes of a file's beginning that say what it is.
_HEAD_BYTES = 64
#: What a user may call something that a file or a folder is named after.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is written."""

    #: What a message calls it.
    name: str
    #: What its name may end with, in small letters.
    suffixes: tuple[str, ...]
    #: What its content begins with, one of them.
    signatures: tuple[bytes, ...]


PNG = FileKind("PNG", (".png",), (b"\x89PNG\r\n\x1a\n",))
JSON = FileKind("JSON", (".json",), (b"{", b"["))
#: Their formats begin in many ways: the name alone tells.
WEIGHTS = FileKind("weights", (".pth", ".pt", ".pkl", ".bin", ".safetensors"), (b"",))
HDF5 = FileKind("HDF5", (".h5", ".hdf5"), (b"\x89HDF\r\n\x1a\n",))


def require_output(path: Path, kind: FileKind) -> None:
    """Refuse to write a file by a name of another kind, or in the place of another kind's file."""
    name = str(path)  # numpy, which would escape it, takes as long to import as all of --help
    if path.suffix.lower() not in kind.suffixes:
        raise DiloError(
            f"a {kind.name} file must be called {' or '.join(f'NAME{s}' for s in kind.suffixes)}, "
            f"got {name}: give such a name"
        )
    try:
        with open(path, "rb", opener=without_waiting) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            beginning = file.read(_HEAD_BYTES).lstrip() if regular else b""
    except FileNotFoundError:
        return
    except OSError as error:
        require_access(error, name)
        regular, beginning = False, b""
    if not regular or (beginning and not beginning.startswith(kind.signatures)):
        raise DiloError(
            f"a {kind.name} file must not replace a file of another kind, got {name}, which is "
            f"there: give another name, or move it away"
        )
