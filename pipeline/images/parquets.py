"""Images in Parquet, as Hugging Face's data sets keep them: read in order, by groups of rows.

A row has the bytes of an image file, mostly in a column `image` of two fields, `bytes` and `path`.
Names are made of the class and of the file name that the row carries, or of the number of the row.
They stand in the order of the rows, for a group of rows is read as a whole.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from dilo.pipeline.common.files import size_and_time
from dilo.pipeline.errors import DiloError, ImageError, first_few, require_access
from dilo.pipeline.images.decoding import require_readable_size
from dilo.pipeline.images.listing import (
    EXTENSIONS,
    extension_of,
    find_files,
    matching,
)
from dilo.pipeline.images.names import Names, escaped, folder_names, is_file_name
from dilo.pipeline.images.source import ImageSource, changed_since, read_from

_ENDING = ".parquet"
#: How the files of a split are called: its name, its number, how many there are.
_SPLIT = re.compile(r"(.+?)-\d+-of-\d+(?:-\w+)?\.parquet")
#: Columns that hold images, and columns of classes, the first that is there.
_IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp")
_LABEL_COLUMNS = ("label", "fine_label", "labels", "class", "cls")
#: Groups of rows that a process holds: of two files that a shard ends and begins with.
_MAX_GROUPS = 2
#: Bytes of the largest group that is read.
MAX_GROUP_BYTES = 2**32


def find_parquet(path: Path) -> tuple[Path, ...]:
    """Find the files of a path: a file, a folder of them, or a split, such as data/train; or none.

    A folder that has images of its own is none.
    """
    if path.is_dir():
        files = []
        with os.scandir(path) as entries:
            for entry in entries:
                if extension_of(entry.name) in EXTENSIONS:
                    return ()
                if entry.name.endswith(_ENDING) and not entry.name.startswith("."):
                    files.append(path / entry.name)
        if files and next(find_files(path, EXTENSIONS), None) is not None:
            return ()
        return tuple(sorted(files))
    if path.exists():
        return (path,) if path.name.endswith(_ENDING) else ()
    files = [file for file in path.parent.glob(f"*{_ENDING}") if _split(file) == path.name]
    return tuple(sorted(files))


def _split(file: Path) -> str:
    """Return the split that a file is of; an empty string where its name says none."""
    match = _SPLIT.fullmatch(file.name)
    return "" if match is None else match[1]


class ParquetSource(ImageSource):
    """Images in files of Parquet.

    Parameters
    ----------
    path : Path
        What the user named.
    files : sequence of Path
        The files, in order.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        super().__init__(path)
        _require_pyarrow(path)
        splits = sorted({split for file in files if (split := _split(file))})
        if len(splits) > 1:
            raise DiloError(
                f"--images must be one split of a data set, got {path} with {first_few(splits)}: "
                f"give {path / splits[0]}, which stands for its files"
            )
        # Looked at once: of many files on a network disk, this takes longer than reading an image.
        self._states = {file: _state(file) for file in files}
        self._opened: _Table | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def absolute(self) -> Self:
        """Return it for a process in another folder."""
        return type(self)(self.path.absolute(), [file.absolute() for file in self._states])

    def find(
        self,
        include: Iterable[str] = (),
        *,
        on_progress: Callable[[int], object] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Names:
        """List the images in the order of their rows."""
        return matching(self._table().names, list(include), f"in {self.path}")

    def read(self, name: str) -> bytes:
        """Read an image from its group of rows."""
        file, group, row = self._table().locate(name)
        state = self._states[file]
        try:
            column = read_from(file, name, lambda: _image_column(file, state, group))
        except _damage() as error:
            reason = " ".join(str(error).split())
            raise ImageError(f"its rows cannot be read: {reason}") from error
        content = column[row].as_buffer()
        if content is None:
            raise ImageError("its row has no bytes of an image, perhaps only a path")
        require_readable_size(content.size)
        return bytes(content)

    def size(self, name: str) -> int:
        """Return the bytes of an image file; -1 if there is none."""
        try:
            return len(self.read(name))
        except ImageError:
            return 0 if self.has(name) else -1

    def has(self, name: str) -> bool:
        """Check whether there is a row by a name."""
        return name in self._table().names

    def may_differ(self, name: str, size: int, since: float) -> bool:
        """Check whether the file of a row was written since."""
        if (error := self.open_error(name)) is not None:
            raise error
        return size != 0 and self._table().locate(name)[0].stat().st_mtime > since

    def lost(self, name: str) -> Path | None:
        """Return the first of the files that is gone."""
        return next((file for file in self._states if not file.exists()), None)

    def _table(self) -> "_Table":
        """Return the names and places of all rows."""
        if self._opened is None:
            self._opened = _table(self.path, tuple(self._states.items()))
        return self._opened


class _Table:
    """Which rows there are, and where.

    Parameters
    ----------
    names : Names
        Of all rows, in order.
    groups : sequence of tuple
        File, number and rows of each group.
    """

    def __init__(self, names: Names, groups: Sequence[tuple[Path, int, int]]) -> None:
        self.names, self._groups = names, groups
        self._starts = np.cumsum([0, *(rows for _, _, rows in groups)])

    def locate(self, name: str) -> tuple[Path, int, int]:
        """Find file, group and row in the group; refuse a name that there is not."""
        try:
            row = self.names.index(name)
        except ValueError:
            raise ImageError("there is no such row") from None
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        file, group, _ = self._groups[number]
        return file, group, row - int(self._starts[number])


@functools.lru_cache(maxsize=1)
def _table(path: Path, states: tuple[tuple[Path, tuple[int, int]], ...]) -> _Table:
    """List the rows of some files, once a process and state of them."""
    groups, labels, paths = list[tuple[Path, int, int]](), list[Any](), list[str]()
    classes: list[str] | None = None
    for file, _ in states:
        try:
            with _open(file) as content:
                column, has_path, label = _columns(content.schema_arrow, file)
                groups += [
                    (file, group, content.metadata.row_group(group).num_rows)
                    for group in range(content.num_row_groups)
                ]
                wanted = [f"{column}.path"] * has_path + [label] * bool(label)
                rows = content.read(columns=wanted).to_pydict() if wanted else {}
                count = content.metadata.num_rows
                classes = classes or _class_names(content.schema_arrow, label)
        except (OSError, _damage()) as error:
            require_access(error, file)
            reason = " ".join(str(error).split())
            raise DiloError(f"{file} must be a whole Parquet file, got: {reason}") from error
        labels += rows.get(label, [None] * count)
        entries = rows.get(column, [{}] * count)
        paths += [((entry or {}).get("path") or "").rpartition("/")[2] for entry in entries]
    if not paths:
        raise DiloError(f"--images {path} must hold images, got no rows")
    return _Table(Names(_names(labels, paths, classes)), groups)


def _names(labels: Sequence[Any], paths: Sequence[str], classes: list[str] | None) -> Iterator[str]:
    """Name the rows by their classes, and by file names that are fit for it or by their numbers."""
    values = sorted({str(label) for label in labels if label is not None})
    texts = classes or values
    keys = map(str, range(len(classes))) if classes else values
    folders = dict(zip(keys, folder_names(texts), strict=True))
    # -1 stands for no class in Hugging Face's sets.
    prefixes = [f"{folders[str(label)]}/" if str(label) in folders else "" for label in labels]
    names = [prefix + path for prefix, path in zip(prefixes, paths, strict=True)]
    if not all(map(is_file_name, paths)) or len(set(names)) < len(names):
        digits = len(str(len(names) - 1))
        names = [f"{prefix}{row:0{digits}d}.jpg" for row, prefix in enumerate(prefixes)]
    yield from names


def _columns(schema: Any, file: Path) -> tuple[str, bool, str]:
    """Find the column of images, whether it has paths, and the column of classes, if any."""
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    structs = {
        field.name: field.type.get_field_index("path") >= 0
        for field in schema
        if pa.types.is_struct(field.type)
        and field.type.get_field_index("bytes") >= 0
        and is_bytes(field.type.field("bytes").type)
    }
    plain = {field.name: False for field in schema if is_bytes(field.type)}
    columns = structs | plain
    column = next((name for name in _IMAGE_COLUMNS if name in columns), None)
    column = next(iter(columns)) if column is None and len(columns) == 1 else column
    if column is None:
        raise DiloError(
            f"{file} must have a column {' or '.join(_IMAGE_COLUMNS)} with the bytes of image "
            f"files, got columns {', '.join(map(escaped, schema.names))}: rename one"
        )
    label = next((name for name in _LABEL_COLUMNS if name in schema.names), "")
    kind = schema.field(label).type if label else None
    return column, columns[column], label if kind is not None and _is_label(kind) else ""


def _is_label(kind: Any) -> bool:
    """Check whether a column is of whole numbers or of texts."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = pa.types.is_integer, pa.types.is_string, pa.types.is_large_string
    return any(test(kind) for test in tests)


def _class_names(schema: Any, label: str) -> list[str] | None:
    """Read the names of classes that Hugging Face's library writes beside the columns."""
    try:
        text = (schema.metadata or {}).get(b"huggingface", b"null")
        names = json.loads(text)["info"]["features"][label]["names"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None


@functools.lru_cache(_MAX_GROUPS)
def _image_column(file: Path, state: tuple[int, int], group: int) -> Any:
    """Read the images of a group of rows, of a file that must be in the state of its listing."""
    status = file.stat()
    if (status.st_size, status.st_mtime_ns) != state:
        raise changed_since(file)
    with _open(file) as content:
        column = _columns(content.schema_arrow, file)[0]
        is_nested = content.schema_arrow.field(column).type.num_fields > 0
        wanted = f"{column}.bytes" if is_nested else column
        _require_readable_group(content.metadata.row_group(group), wanted, file)
        values = content.read_row_group(group, columns=[wanted]).column(0)
        return values.flatten()[0] if is_nested else values


def _require_readable_group(group: Any, column: str, file: Path) -> None:
    """Refuse a group of rows that would not fit into a worker's memory."""
    parts = (group.column(number) for number in range(group.num_columns))
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema == column)
    if size > MAX_GROUP_BYTES:
        raise DiloError(
            f"{file} must have at most {MAX_GROUP_BYTES} bytes of images in a group of rows, which "
            f"is read as a whole, got {size}: write it anew with fewer rows in a group, by "
            "row_group_size=100 of pyarrow"
        )


def _open(file: Path) -> Any:
    """Open a file; it closes behind a `with`."""
    from pyarrow import parquet

    return parquet.ParquetFile(file, pre_buffer=False)


def _state(file: Path) -> tuple[int, int]:
    """Return the bytes of a file, and when it was written."""
    return size_and_time(file, "must hold the images, got:")


def _damage() -> Any:
    """Return what reading a damaged file raises, but for `OSError`."""
    import pyarrow as pa

    return pa.lib.ArrowException


def _require_pyarrow(path: Path) -> None:
    """Refuse Parquet where nothing is installed that reads it."""
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise DiloError(
            f"--images {path} is Parquet, which needs pyarrow: pip install 'dilo[parquet]'"
        )
