"""What a file is that is no image, or one that is not read: told by its first bytes."""

from collections.abc import Collection
from typing import Final

#: Kinds of boxes that files of ISO's base media begin with, in `ftyp`.
_BRANDS: Final = {
    "an AVIF picture": (b"avif", b"avis"),
    "a HEIC picture": (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"),
    "a raw photograph of Canon's": (b"crx ",),
    "a film": (b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"avc1", b"3gp4", b"3gp5"),
}
_STARTS: Final = {
    "a JPEG 2000 picture": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "a JPEG XL picture": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "a JPEG": (b"\xff\xd8\xff",),
    "a PNG": (b"\x89PNG\r\n\x1a\n",),
    "a GIF": (b"GIF87a", b"GIF89a"),
    "a TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "a gzip archive": (b"\x1f\x8b",),
    "a zip archive": (b"PK\x03\x04", b"PK\x05\x06"),
    "a bzip2 archive": (b"BZh",),
    "an xz archive": (b"\xfd7zXZ\0",),
    "a zstd archive": (b"\x28\xb5\x2f\xfd",),
    "a 7-Zip archive": (b"7z\xbc\xaf\x27\x1c",),
    "a RAR archive": (b"Rar!\x1a\x07",),
    "a PDF document": (b"%PDF-",),
    "a PostScript document": (b"%!PS",),
    "a Photoshop document": (b"8BPS",),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n",),
    "an OpenEXR picture": (b"\x76\x2f\x31\x01",),
    "a Radiance picture": (b"#?RADIANCE", b"#?RGBE"),
    "an array of NumPy's": (b"\x93NUMPY",),
    "an icon": (b"\0\0\1\0",),
    "a pointer of Git LFS, not the file itself": (b"version https://git-lfs",),
}
#: What text begins with, in small letters and without white space before.
_TEXTS: Final = {
    "an HTML page": (b"<!doctype html", b"<html", b"<head", b"<body"),
    "an SVG drawing": (b"<svg",),
    "an XML document": (b"<?xml",),
}
#: What Pillow calls the kinds that it reads, some only where it was built to.
_FORMATS: Final = {
    "an AVIF picture": "AVIF",
    "a JPEG 2000 picture": "JPEG2000",
    "a JPEG": "JPEG",
    "a PNG": "PNG",
    "a GIF": "GIF",
    "a TIFF": "TIFF",
}
#: What to do with a kind.
_REMEDIES: Final = {
    "archive": "unpack it",
    "picture": "save it as JPEG or PNG",
    "photograph": "save it as JPEG or PNG",
    "drawing": "save it as PNG",
    "document": "save its picture as JPEG or PNG",
    "page": "download the image again",
    "itself": "fetch it with git lfs pull",
}


def kind_of(content: bytes) -> str:
    """Name what a file is by its first bytes; an empty string where they tell nothing."""
    if not content:
        return "an empty file"
    if content[4:8] == b"ftyp":
        # The first brand is the file's own; a picture of AVIF often names mif1 first.
        brands = [content[offset : offset + 4] for offset in (8, *range(16, 64, 4))]
        for kind, brand_codes in _BRANDS.items():
            if brands[0] in brand_codes or (
                kind == "an AVIF picture" and set(brands) & set(brand_codes)
            ):
                return kind
    for kind, starts in _STARTS.items():
        if content.startswith(starts):
            return kind
    text = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    kind = next((kind for kind, starts in _TEXTS.items() if text.startswith(starts)), "")
    if kind == "an XML document" and b"<svg" in text:
        kind = "an SVG drawing"
    return kind


def refusal(content: bytes, formats: Collection[str]) -> str:
    """Return why a file is not read as an image, and what to do."""
    kind = kind_of(content)
    if not kind:
        return "not an image"
    remedy = next((advice for noun, advice in _REMEDIES.items() if kind.endswith(noun)), "")
    if _FORMATS.get(kind) in formats:
        return f"not an image that can be read: it begins as {kind}, but is damaged"
    if "icture" in kind or "photograph" in kind:
        return f"not an image of a supported format but {kind}: {remedy}"
    return f"not an image but {kind}" + (f": {remedy}" if remedy else "")
