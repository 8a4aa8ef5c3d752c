"""The members of a zip, and their bytes."""

import errno
import lzma
import posixpath
import stat
import struct
import zipfile
import zlib
from typing import IO, Any

from isal import isal_zlib

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.archiveindex import (
    COMPRESSED,
    DEFLATED,
    ENCRYPTED,
    LABEL_EXTENSION,
    MAX_LABEL,
    STORED,
    Listing,
    member_path,
)
from dilo.pipeline.images.listing import ImageCounter, extension_of

#: What a zip begins with, and one without members.
STARTS = (b"PK\x03\x04", b"PK\x05\x06")
#: Bytes of a member's header, without its name and what else is behind it.
HEADER = 30
_KINDS = {zipfile.ZIP_STORED: STORED, zipfile.ZIP_DEFLATED: DEFLATED}
#: That the bytes of a member are encrypted.
_ENCRYPTED = 1
#: Negative for bytes without a header of their own.
_RAW_DEFLATE = -15
_INFLATE_ERROR: Any = isal_zlib.error
#: What listing a damaged zip raises; bz2 says it by an `OSError` without a number.
_DAMAGE = (
    *(zipfile.BadZipFile, struct.error, NotImplementedError, UnicodeDecodeError),
    *(zlib.error, EOFError, lzma.LZMAError, OSError),
)


def list_zip(file: IO[bytes], where: str, counter: ImageCounter) -> Listing:
    """List the images of a zip by the places of their headers; `where` names it in messages."""
    listing = Listing(counter=counter)
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = member_path(member.filename, where)
                if name and not member.is_dir() and listing.wants(name):
                    _add(listing, archive, member, name)
    except _DAMAGE as error:
        # EINVAL: it says that something lies before its beginning.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = str(error) or type(error).__name__
        raise DiloError(
            f"{where} must be a whole zip, got: {reason}: it is truncated or damaged, or in "
            "several parts: copy or download it again, or unpack it"
        ) from error
    listing.resolve_links()
    return listing


def _add(listing: Listing, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    """Add a member: an image, a link to one, or the class of one."""
    is_short = member.file_size <= 4 * MAX_LABEL and not member.flag_bits & _ENCRYPTED
    if extension_of(name) == LABEL_EXTENSION:
        if is_short:
            listing.add_label(name, archive.read(member))
        return
    if stat.S_ISLNK(member.external_attr >> 16) and is_short:
        target = archive.read(member).decode("utf-8", "surrogateescape")
        listing.links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        return
    kind = _KINDS.get(member.compress_type, COMPRESSED)
    if member.flag_bits & _ENCRYPTED:
        kind = ENCRYPTED
    sizes = member.compress_size, member.file_size
    listing.add(name, member.header_offset, *sizes, kind, member.CRC)


def data_offset(header: bytes) -> int:
    """Find how far behind the beginning of its header the bytes of a member begin."""
    if len(header) < HEADER or not header.startswith(STARTS[0]):
        raise ImageError("its archive has no header where it was listed: copy or download it again")
    name, extra = struct.unpack_from("<HH", header, HEADER - 4)
    return int(HEADER + name + extra)


def inflate(content: bytes, size: int) -> bytes:
    """Decompress a member of so many bytes."""
    inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
    try:
        image: bytes = inflater.decompress(content, size + 1)
    except _INFLATE_ERROR as error:
        raise ImageError(f"its compressed bytes are damaged: {error}") from error
    if len(image) != size:
        raise ImageError(f"it must have {size} bytes, got {len(image)}: the archive is damaged")
    return image


def require_checksum(content: bytes, crc: int) -> None:
    """Refuse bytes that are not those that were packed."""
    if isal_zlib.crc32(content) != crc:
        raise ImageError("its bytes are not those that were packed: their checksum differs")
