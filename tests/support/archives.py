"""A folder of images, packed as people pack them."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def tar_of(contents: Mapping[str, bytes], path: Path, **options: object) -> Path:
    """Write a tar of files by their names."""
    with tarfile.open(path, "w", **options) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zip_of(contents: Mapping[str, bytes], path: Path, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip of files by their names."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def contents_of(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder, by their names in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def class_tars(contents: Mapping[str, bytes], folder: Path) -> Path:
    """Write a tar for each class folder, without the folder in it, as ImageNet is handed out."""
    folder.mkdir()
    for name in sorted({name.partition("/")[0] for name in contents}):
        own = {
            key.partition("/")[2]: content
            for key, content in contents.items()
            if key.startswith(f"{name}/")
        }
        tar_of(own, folder / f"{name}.tar")
    return folder


def packed_forms(contents: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """Pack images of class folders in every way that is read as the folder is."""
    folder.mkdir()
    tars = class_tars(contents, folder / "tars")
    first = sorted(contents)[0].partition("/")[0]
    parts = folder / "parts"
    parts.mkdir()
    for name, own in (("a", True), ("b", False)):
        chosen = {k: v for k, v in contents.items() if k.startswith(f"{first}/") == own}
        tar_of(chosen, parts / f"{name}.tar")
    outer = {path.name: path.read_bytes() for path in sorted(tars.iterdir())}
    dotted = {f"./{name}": content for name, content in contents.items()}
    below = {f"train/{name}": content for name, content in contents.items()}
    return {
        "tar": tar_of(contents, folder / "images.tar"),
        "tar with ./": tar_of(dotted, folder / "dotted.tar"),
        "folder in a tar": tar_of(below, folder / "below.tar") / "train",
        "folder of tars": tars,
        "tar of tars": tar_of(outer, folder / "outer.tar"),
        "tar in parts": parts,
        "zip": zip_of(contents, folder / "images.zip"),
        "deflated zip": zip_of(contents, folder / "deflated.zip", zipfile.ZIP_DEFLATED),
    }
