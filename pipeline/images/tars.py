"""The members of a tar, and of the tars in it."""

import posixpath
import tarfile
from typing import IO

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.archiveindex import (
    LABEL_EXTENSION,
    MAX_LABEL,
    RAW,
    SPARSE,
    Listing,
    member_path,
)
from dilo.pipeline.images.listing import ImageCounter, extension_of
from dilo.pipeline.images.names import escaped

#: What compressed tars are called, and the program that decompresses them.
COMPRESSED_TARS = {
    **dict.fromkeys((".tar.gz", ".tgz"), "gunzip"),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), "bunzip2"),
    **dict.fromkeys((".tar.xz", ".txz"), "unxz"),
    **dict.fromkeys((".tar.zst", ".tzst"), "unzstd"),
}
#: How names are decoded that are no UTF-8: as those of files are.
_ANY = "surrogateescape"
#: Bytes of a header, and of what ends a tar.
_BLOCK = 512


def is_tar(head: bytes) -> bool:
    """Check whether a file begins as a tar does, by its first bytes."""
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", _ANY)
    except tarfile.HeaderError:
        return False
    return True


def list_tar(
    file: IO[bytes],
    where: str,
    counter: ImageCounter,
    *,
    begin: int = 0,
    nested: bool = False,
) -> Listing:
    """List the images of a tar, and of the tars in it, by the places of their bytes.

    `where` names the archive in messages. A tar in another begins at a byte of the file that is
    read later.
    """
    listing, inner = Listing(counter=counter), list[Listing]()
    name = ""
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors=_ANY) as tar:
            kept: list[tarfile.TarInfo] = vars(tar)["members"]
            while (member := tar.next()) is not None:
                kept.clear()  # a million of them would take a gigabyte
                name = member_path(member.name, where)
                if not name:
                    continue
                if member.isreg() and not nested and (kind := _tar_kind(name)):
                    inner.append(_list_inner(tar, member, name, where, kind, begin, counter))
                else:
                    _add(listing, tar, member, name, begin, where)
            _require_end(file, tar.offset, where, name)
    except (tarfile.TarError, ValueError) as error:  # of numbers and texts in a header
        after = f", after {escaped(name)}" if name else ""
        raise DiloError(
            f"{where} must be a whole tar, got: {error}{after}: it is truncated or damaged: copy "
            "or download it again"
        ) from error
    listing.resolve_links()
    for other in inner:
        listing.extend(other)
    return listing


def _add(
    listing: Listing,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    name: str,
    begin: int,
    where: str,
) -> None:
    """Add a member, if it is an image, a link to one, or the class of one."""
    if member.isdir() or not listing.wants(name):
        return
    if extension_of(name) == LABEL_EXTENSION:
        if member.isreg() and member.size <= 4 * MAX_LABEL:
            content = tar.extractfile(member)
            listing.add_label(name, content.read() if content is not None else b"")
    elif member.issym():
        folder = posixpath.dirname(name)
        listing.links[name] = posixpath.normpath(posixpath.join(folder, member.linkname))
    elif member.islnk():
        listing.links[name] = member_path(member.linkname, where)
    elif member.isreg():  # no pipe or device
        place = begin + member.offset_data, member.size, member.size
        listing.add(name, *place, SPARSE if member.issparse() else RAW)


def _tar_kind(name: str) -> str:
    """Recognize a tar in a tar: return "tar", the program that makes one of it, or nothing."""
    lower = name.lower()
    ending = next((ending for ending in COMPRESSED_TARS if lower.endswith(ending)), "")
    return COMPRESSED_TARS.get(ending, "tar" if lower.endswith(".tar") else "")


def _list_inner(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    name: str,
    where: str,
    kind: str,
    begin: int,
    counter: ImageCounter,
) -> Listing:
    """List the images of a tar in a tar, under the paths of the folder that it is extracted to."""
    place = f"{escaped(name)} in {where}"
    content = tar.extractfile(member)
    if kind != "tar" or member.issparse() or content is None:
        cure = f"extract it, and decompress it with {kind}" if kind != "tar" else "extract it"
        raise DiloError(
            f"{place} must be a plain tar, for images are read from the middle of it, got a "
            f"{'compressed' if kind != 'tar' else 'sparse'} one: {cure}"
        )
    listing = list_tar(content, place, counter, begin=begin + member.offset_data, nested=True)
    listing.place(posixpath.dirname(name), posixpath.basename(name)[: -len(".tar")])
    return listing


def _require_end(file: IO[bytes], offset: int, where: str, name: str) -> None:
    """Refuse a tar whose list ended at a header that is damaged, rather than at its end."""
    file.seek(offset)
    block = file.read(_BLOCK)
    if block and (len(block) < _BLOCK or any(block)):
        raise DiloError(
            f"{where} must be a whole tar, got no header at byte {offset}, after {escaped(name)}: "
            "it is truncated or damaged: copy or download it again"
        )
