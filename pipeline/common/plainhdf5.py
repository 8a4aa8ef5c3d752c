"""Refuse an HDF5 file that leads anywhere else, or that holds other things than it should."""

import math
import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5t, h5z

from dilo.pipeline.errors import ContentError

#: Filters that HDF5 and h5py bring themselves: others are programs, loaded from a folder.
_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF}
_LAYOUTS = {h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED}
#: Bytes of the longest attribute.
_LONGEST = 2**16


#: No filter makes of so many bytes of a file more than this.
_INFLATED = 1100
#: What a dataset must be: its lengths, None for any, and its type as numpy names it, None for
#: text of one length in bytes.
Declared = tuple[tuple[int | None, ...], str | None]


def require_regular(path: Path) -> None:
    """Refuse what opening would wait for: a pipe, or a device."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ContentError("it must be a regular file, got a pipe, a device or a folder")


def require_plain(
    file: h5py.File, declared: Mapping[str, Declared], attributes: Collection[str]
) -> None:
    """Check what a file declares, before any of its data is read; see the two below."""
    require_attributes(file, attributes)
    require_datasets(file, declared)


def require_attributes(file: h5py.File, attributes: Collection[str]) -> None:
    """Check the attributes of a file's root: numbers, and text of fixed length.

    HDF5 keeps other text in a heap, and where one byte of that is damaged it may go in circles
    for ever.
    """
    root = h5g.open(file.id, b"/")
    for number in range(h5a.get_num_attrs(root)):
        attribute = h5a.open(root, index=number)
        name = attribute.name.decode(errors="backslashreplace")
        if name not in attributes:
            raise ContentError(f"its attributes must be {', '.join(attributes)}, got {name[:80]!r}")
        kind = attribute.get_type()
        plain = isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID, h5t.TypeStringID))
        text = isinstance(kind, h5t.TypeStringID)
        plain = plain and attribute.shape == () and kind.get_size() <= _LONGEST
        if not plain or (text and kind.is_variable_str()):
            raise ContentError(f"its attribute {name!r} must be a number or text of fixed length")


def require_datasets(file: h5py.File, declared: Mapping[str, Declared]) -> None:
    """Check the datasets of a file: in its root, by hard links, of what is declared, in the file.

    So nothing is read from another file, waited for, or made as large as a lie says. Datasets
    that are lacking are not looked for.
    """
    size = os.stat(file.filename).st_size
    root = h5g.open(file.id, b"/")
    for raw in root:
        name = raw.decode(errors="backslashreplace")
        if name not in declared:
            raise ContentError(f"it must hold {', '.join(declared)} alone, got {name[:80]!r}")
        if root.links.get_info(raw).type != h5l.TYPE_HARD:
            raise ContentError(f"{name!r} must be in the file itself, got a link that leads away")
        item = h5o.open(root, raw)
        if not isinstance(item, h5d.DatasetID):
            raise ContentError(f"{name!r} must be a dataset, got a {type(item).__name__}")
        kind, shape = item.get_type(), item.shape
        _require_declared(name, kind, shape, declared[name])
        _require_stored(name, item, math.prod(shape) * int(kind.get_size()), size)


def _require_stored(name: str, item: h5d.DatasetID, whole: int, size: int) -> None:
    """Refuse data that are not in a file of a size, as HDF5 stores so many bytes itself."""
    offset = item.get_offset()
    if offset is not None:  # contiguous, and in this file
        fits = offset + whole <= size and item.get_storage_size() == whole
    else:
        plan = item.get_create_plist()
        layout = plan.get_layout()
        if layout not in _LAYOUTS or plan.get_external_count():
            raise ContentError(f"{name!r} must be stored in the file itself, got another file's")
        filters = {plan.get_filter(number)[0] for number in range(plan.get_nfilters())}
        if not filters <= _FILTERS:
            raise ContentError(f"{name!r} must have HDF5's own filters, got {sorted(filters)}")
        fits = whole <= (_INFLATED * size if layout == h5d.CHUNKED else size)
        fits = fits and (layout != h5d.CONTIGUOUS or not whole)  # nothing of it was written
    if not fits:
        raise ContentError(f"{name!r} must be within the file's {size} bytes, got {whole} bytes")


def _require_declared(
    name: str, kind: h5t.TypeID, shape: tuple[int, ...], declared: Declared
) -> None:
    """Refuse another type, or a shape that does not fit."""
    lengths, wanted = declared
    if wanted is None:
        fits = isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
    else:
        fits = isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)) and kind.dtype == wanted
    fits = fits and len(shape) == len(lengths)
    if not fits or any(b not in (None, a) for a, b in zip(shape, lengths, strict=True)):
        rule = f"{wanted or 'text'} of shape {str(lengths).replace('None', 'any')}"
        raise ContentError(f"dataset {name!r} must be {rule}, got {kind.dtype} of shape {shape}")
