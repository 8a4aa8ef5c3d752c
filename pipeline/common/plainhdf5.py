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
_MAX_ATTRIBUTE_BYTES = 2**16


#: No filter makes of so many bytes of a file more than this.
_MAX_INFLATION = 1100
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
        datatype = attribute.get_type()
        is_plain = isinstance(datatype, (h5t.TypeIntegerID, h5t.TypeFloatID, h5t.TypeStringID))
        is_text = isinstance(datatype, h5t.TypeStringID)
        is_plain = (
            is_plain and attribute.shape == () and datatype.get_size() <= _MAX_ATTRIBUTE_BYTES
        )
        if not is_plain or (is_text and datatype.is_variable_str()):
            raise ContentError(f"its attribute {name!r} must be a number or text of fixed length")


def require_datasets(file: h5py.File, declared: Mapping[str, Declared]) -> None:
    """Check the datasets of a file: in its root, by hard links, of what is declared, in the file.

    So nothing is read from another file, waited for, or made as large as a lie says. Datasets
    that are lacking are not looked for.
    """
    file_size = os.stat(file.filename).st_size
    root = h5g.open(file.id, b"/")
    for link_name in root:
        name = link_name.decode(errors="backslashreplace")
        if name not in declared:
            raise ContentError(f"it must hold {', '.join(declared)} alone, got {name[:80]!r}")
        if root.links.get_info(link_name).type != h5l.TYPE_HARD:
            raise ContentError(f"{name!r} must be in the file itself, got a link that leads away")
        dataset = h5o.open(root, link_name)
        if not isinstance(dataset, h5d.DatasetID):
            raise ContentError(f"{name!r} must be a dataset, got a {type(dataset).__name__}")
        datatype, shape = dataset.get_type(), dataset.shape
        _require_declared(name, datatype, shape, declared[name])
        _require_stored(name, dataset, math.prod(shape) * int(datatype.get_size()), file_size)


def _require_stored(name: str, dataset: h5d.DatasetID, byte_count: int, file_size: int) -> None:
    """Refuse data that are not in a file of a size, as HDF5 stores so many bytes itself."""
    offset = dataset.get_offset()
    if offset is not None:  # contiguous, and in this file
        fits = offset + byte_count <= file_size and dataset.get_storage_size() == byte_count
    else:
        creation = dataset.get_create_plist()
        layout = creation.get_layout()
        if layout not in _LAYOUTS or creation.get_external_count():
            raise ContentError(f"{name!r} must be stored in the file itself, got another file's")
        filters = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
        if not filters <= _FILTERS:
            raise ContentError(f"{name!r} must have HDF5's own filters, got {sorted(filters)}")
        fits = byte_count <= (_MAX_INFLATION * file_size if layout == h5d.CHUNKED else file_size)
        fits = fits and (layout != h5d.CONTIGUOUS or not byte_count)  # nothing of it was written
    if not fits:
        raise ContentError(
            f"{name!r} must be within the file's {file_size} bytes, got {byte_count} bytes"
        )


def _require_declared(
    name: str, datatype: h5t.TypeID, shape: tuple[int, ...], declared: Declared
) -> None:
    """Refuse another type, or a shape that does not fit."""
    lengths, dtype = declared
    if dtype is None:
        fits = isinstance(datatype, h5t.TypeStringID) and not datatype.is_variable_str()
    else:
        fits = (
            isinstance(datatype, (h5t.TypeIntegerID, h5t.TypeFloatID)) and datatype.dtype == dtype
        )
    fits = fits and len(shape) == len(lengths)
    if not fits or any(b not in (None, a) for a, b in zip(shape, lengths, strict=True)):
        rule = f"{dtype or 'text'} of shape {str(lengths).replace('None', 'any')}"
        raise ContentError(
            f"dataset {name!r} must be {rule}, got {datatype.dtype} of shape {shape}"
        )
