"""How fast a disk takes and gives files."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dilo.pipeline.common.disk import write_flushed
from dilo.pipeline.common.files import flush_folder
from dilo.pipeline.doctor.report import Finding

Clock = Callable[[], float]

#: Seconds after which a measurement ends with what it has.
PATIENCE = 1.5
#: Bytes written, files published and images read for one.
WRITE_BYTES, PUBLISH_FILES, READ_IMAGES = 16_000_000, 16, 16
#: What slows nobody: bytes written a second, seconds for a shard's file, seconds for an image.
WRITE_RATE, PUBLISH_SECONDS, READ_SECONDS = 10e6, 0.5, 0.02


def time_writing(path: Path, clock: Clock = time.perf_counter) -> tuple[int, float]:
    """Write a file in pieces, each flushed, until it is large or the time is up."""
    piece = os.urandom(WRITE_BYTES // 8)  # what a disk that compresses cannot make smaller
    start, written = clock(), 0
    with path.open("wb") as file:
        while written < WRITE_BYTES and (not written or clock() - start < PATIENCE):
            written += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    return written, clock() - start


def write_speed(count: int, seconds: float) -> Finding:
    """Judge how fast a disk takes bytes."""
    rate = count / max(seconds, 1e-9)
    state = f"{rate / 1e6:.0f} MB/s, flushed"
    if rate >= WRITE_RATE:
        return Finding("write speed", "ok", state)
    advice = "a core makes up to 1.5 MB/s of masks: write to a faster disk, copy the store after"
    return Finding("write speed", "slow", state, advice)


def time_publishing(folder: Path, clock: Clock = time.perf_counter) -> float:
    """Publish small files over each other, as shards are, and take the mean time."""
    start, published = clock(), 0
    while published < PUBLISH_FILES and (not published or clock() - start < PATIENCE):
        write_flushed(folder / "part", b"shard")
        (folder / "part").replace(folder / "shard")
        flush_folder(folder)
        published += 1
    return (clock() - start) / published


def publishing(seconds: float) -> Finding:
    """Judge how long it takes to publish a file."""
    state = f"{1000 * seconds:.1f} ms to flush and rename a file"
    if seconds <= PUBLISH_SECONDS:
        return Finding("publishing", "ok", state)
    return Finding("publishing", "slow", state, "fewer, larger shards wait less: --shard-size 1000")


def sample_images(
    folder: Path, extensions: frozenset[str], clock: Clock = time.monotonic
) -> list[Path]:
    """Find the first images below a folder, without reading it whole."""
    start = clock()
    entries = itertools.takewhile(lambda _: clock() - start < PATIENCE, _entries(folder, depth=3))
    first_entries = itertools.islice(entries, 2_000)
    images = (
        entry
        for entry in first_entries
        if Path(entry.name).suffix.lower() in extensions and entry.is_file()
    )
    return [Path(entry.path) for entry in itertools.islice(images, READ_IMAGES)]


def _entries(folder: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Walk down first; what cannot be listed is passed over."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                yield entry
                if depth and entry.is_dir(follow_symlinks=False):
                    yield from _entries(Path(entry.path), depth - 1)


def time_reading(images: list[Path], clock: Clock = time.perf_counter) -> tuple[int, float, int]:
    """Read files whole, from the disk rather than from memory where the system can be asked."""
    start, count, size = clock(), 0, 0
    for path in images:
        if count and clock() - start >= PATIENCE:
            break
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            size += len(file.readall())
            count += 1
    return count, clock() - start, size


def read_speed(count: int, seconds: float, size: int) -> Finding:
    """Judge how fast images come from a disk."""
    if not count:
        return Finding("read speed", "ok", "no images here to read")
    per_image = seconds / count
    state = f"{1000 * per_image:.1f} ms per image, {size / max(seconds, 1e-9) / 1e6:.0f} MB/s"
    if per_image <= READ_SECONDS:
        return Finding("read speed", "ok", state)
    advice = "longer than a mask takes: give more --workers than cores, or copy the images closer"
    return Finding("read speed", "slow", state, advice)
