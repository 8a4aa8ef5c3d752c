"""Which images: the files below a folder in one fixed order, or the lines of a list."""

import contextlib
import errno
import fnmatch
import os
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from dilo.pipeline.common.printing import counted
from dilo.pipeline.common.textfiles import read_lines
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names, escaped, unescaped

EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".avif", ".jp2", ".j2k"),
    )
)
#: Of pictures that are not read; how many are passed over is said.
UNREAD_EXTENSIONS = frozenset(
    (
        *(".heic", ".heif", ".hif", ".jxl", ".svg", ".psd", ".eps", ".tga", ".exr", ".hdr", ".ico"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".dds", ".jxr", ".raw"),
    )
)
#: Images between two words on how many were found.
PROGRESS_EVERY = 10_000


def find_images(
    root: Path,
    include: Iterable[str] = (),
    *,
    on_progress: Callable[[int], object] | None = None,
    say: Callable[[str], object] | None = None,
) -> Names:
    """List the image files below a folder, at any depth.

    Paths are relative, with forward slashes, sorted by code point. Links are followed, but for
    those to a folder that they lie in; a folder with two names is read by each. Hidden files and
    folders, pipes, sockets and devices are passed over; a link to nothing is listed, for whoever
    reads it to report. A glob without a slash is compared with the file's name, one with a slash
    with the whole path, where ``*`` does not stop at a slash; case counts. `on_progress` is called
    with the number of images after every `PROGRESS_EVERY`; `say` with a line on the pictures of
    other kinds, if there are any.
    """
    if not root.is_dir():
        raise DiloError(f"images must be in a folder, got {root}: no such folder")
    globs = list(include)
    matches = matcher(globs)
    lines, counter = bytearray(), ImageCounter(on_progress)
    unread: Counter[str] = Counter()
    for name in _walk(os.path.join(root, ""), EXTENSIONS | UNREAD_EXTENSIONS):
        if (extension := extension_of(name)) in UNREAD_EXTENSIONS:
            unread[extension] += matches(name)
            continue
        counter.add()
        if matches(name):
            lines += escaped(name).encode() + b"\n"
    note = unread_note(unread)
    if not counter.count:
        raise none_found(root, note)
    if say is not None and note:
        say(f"{root}: {note}")
    return names_or_error(lines, globs, f"{counter.count} images in {root}")


class ImageCounter:
    """Counts images as they are listed, and passes on how many after every `PROGRESS_EVERY`."""

    def __init__(self, on_progress: Callable[[int], object] | None = None) -> None:
        self.count, self._on_progress = 0, on_progress

    def add(self) -> None:
        """Count one more."""
        self.count += 1
        if self._on_progress is not None and self.count % PROGRESS_EVERY == 0:
            self._on_progress(self.count)


def none_found(path: Path, note: str = "") -> DiloError:
    """Make the error of a folder or an archive without images."""
    return DiloError(
        f"a folder must hold images ({' '.join(sorted(EXTENSIONS))}), got {path}: none found"
        + (f"; {note}" if note else "")
    )


def find_files(root: Path, extensions: Collection[str]) -> Iterator[str]:
    """Find files below a folder, at any depth, through links as `find_images` does."""
    yield from _walk(os.path.join(root, ""), extensions)


def count_images(root: Path, seconds: float) -> int | None:
    """Count the image files below a folder, as `find_images` finds them, if that is soon done.

    Returns None where it takes longer, or a folder cannot be read.
    """
    deadline, count = time.monotonic() + seconds, 0
    try:
        for _ in _walk(os.path.join(root, ""), EXTENSIONS):
            count += 1
            if time.monotonic() > deadline:
                return None
    except DiloError:
        return None
    return count


def read_list(file: Path, root: Path, include: Iterable[str] = ()) -> Names:
    r"""Read which images to take, and in which order, from a list.

    A line is a path relative to `root`, or absolute and below it, in the form of images.txt:
    UTF-8, a backslash as ``\\``, a byte that is no text as ``\xNN``. Empty lines count for
    nothing. Files need no extension, and are not looked for.
    """
    globs = list(include)
    matches = matcher(globs)
    bases = [os.path.join(base, "") for base in (os.path.abspath(root), os.path.realpath(root))]
    lines, line_numbers, count = bytearray(), array("q"), 0
    with contextlib.closing(read_lines(file)) as raw_lines:
        for number, line in enumerate(raw_lines, 1):
            line = line.removesuffix(b"\n").removesuffix(b"\r")
            if not line:
                continue
            try:
                name = _relative(unescaped(line.decode()), bases)
            except UnicodeDecodeError as error:
                raise DiloError(
                    rf"{file}, line {number}: must be UTF-8, got {line!r}: write \xNN for a byte"
                ) from error
            except ValueError as error:
                raise DiloError(f"{file}, line {number}: {error}") from error
            count += 1
            if matches(name):
                lines += escaped(name).encode() + b"\n"
                line_numbers.append(number)
    if not count:
        raise DiloError(f"a list must name images, one per line, got {file}, which names none")
    names = names_or_error(lines, globs, f"{count} images in {file}")
    if (repeated := names.first_repeated()) is not None:
        first = line_numbers[names.index(names[repeated])]
        raise DiloError(
            f"{file}, line {line_numbers[repeated]}: an image must be listed "
            f"once, got {escaped(names[repeated])}, also in line {first}: remove one"
        )
    return names


def is_nonempty_folder(folder: Path) -> bool:
    """Check whether a folder is there and holds something: one that waits for its disk is empty."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Make the function that checks whether one of some globs matches a path, or there is none."""
    tests = [("/" in glob, re.compile(fnmatch.translate(glob)).match) for glob in globs]

    def matches(path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(test(path if has_folder else name) for has_folder, test in tests)

    return matches if tests else lambda path: True


def matching(names: Names, globs: Sequence[str], source: str) -> Names:
    """Select the names that one of some globs matches, all if there are none.

    Globs that match none are refused; `source` says of what the names are.
    """
    if not globs:
        return names
    lines = bytearray()
    for name in filter(matcher(globs), names):
        lines += escaped(name).encode() + b"\n"
    return names_or_error(lines, globs, f"{counted(len(names), 'image')} {source}")


def names_or_error(lines: bytearray, globs: Sequence[str], source: str) -> Names:
    """Make names of lines; refuse globs that matched none."""
    if not lines:
        raise DiloError(
            f"--include must match images, got {' '.join(globs)}, which matches none of {source}: "
            f"a glob without / is compared with a file's name, in its case, one with / with "
            f"the path below --images"
        )
    return Names.of_text(lines)


def extension_of(name: str) -> str:
    """Return the extension of a path, in small letters."""
    return name[name.rfind(".") :].lower()


def unread_note(counts: Mapping[str, int]) -> str:
    """Count in words the pictures that are not read, by extension; nothing where there are none."""
    counter = +Counter(counts)
    if not (total := counter.total()):
        return ""
    kinds = ", ".join(f"{kind} ({n})" for kind, n in counter.most_common())
    kinds = kinds.partition(" ")[0] if len(counter) == 1 else kinds
    return f"{total} file{'s' * (total > 1)} skipped: {kinds}, which are not read"


#: Device and inode of a folder, and the same of what it lies in.
_Chain = tuple[tuple[int, int], "_Chain | None"]


def _is_ancestor(folder: tuple[int, int], chain: "_Chain | None") -> bool:
    """Check whether a folder is one of those that lead to it."""
    while chain is not None:
        if chain[0] == folder:
            return True
        chain = chain[1]
    return False


def _walk(base: str, extensions: Collection[str]) -> Iterator[str]:
    """Yield paths below a folder, in order: as if a folder's name ended with its slash."""
    pending: list[tuple[str, _Chain | None]] = [("", None)]
    while pending:
        path, chain = pending.pop()
        if path and not path.endswith("/"):
            yield path
            continue
        try:
            status = os.stat(base + path)
            folder = status.st_dev, status.st_ino
            if _is_ancestor(folder, chain):
                continue
            with os.scandir(base + path) as entries:
                keys = [key for entry in entries if (key := _sort_key(entry, extensions))]
        except OSError as error:
            raise DiloError(
                f"every folder of images must be readable, got {escaped(base + path)}: "
                f"{error.strerror}: fix it, or move it out of {base}"
            ) from error
        keys.sort(reverse=True)
        child_chain = folder, chain
        pending += [(path + key, child_chain) for key in keys]


def _sort_key(entry: os.DirEntry[str], extensions: Collection[str] = EXTENSIONS) -> str:
    """Name an entry, with a slash behind a folder; nothing for what is passed over."""
    name = entry.name
    if name.startswith("."):
        return ""
    image = extension_of(name) in extensions
    try:
        if entry.is_dir():
            return f"{name}/"
        return name if image and (entry.is_file() or _is_broken_link(entry)) else ""
    except OSError as error:  # of a link that loops, or that leads where nobody may look
        if image:
            return name
        if error.errno == errno.ELOOP:
            return ""
        raise


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    """Check whether a link leads to nothing, rather than to a pipe, a socket or a device."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _relative(name: str, bases: list[str]) -> str:
    """Clean a path and make it relative to the folder of images."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    path = "/".join(parts)
    if name.startswith("/"):
        base = next((base for base in bases if f"/{path}".startswith(base)), None)
        path = "" if base is None else f"/{path}".removeprefix(base)
    if not path or ".." in parts or "\0" in path:
        raise ValueError(f"must be a path below --images {bases[0]}, got {escaped(name)}")
    return path
