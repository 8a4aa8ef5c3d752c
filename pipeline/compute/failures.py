"""The rows of a shard as they are tried: what goes wrong with an image is its row's error alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeVar

from isal import isal_zlib

from dilo.pipeline.common.printing import counted
from dilo.pipeline.errors import REMEDIES, SHORTAGE_ERRNOS, AccessError, DiloError, ImageError
from dilo.pipeline.images.decoding import GONE_ERRNOS, TRANSIENT_ERRNOS
from dilo.pipeline.images.names import escaped, unescaped
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.store.rows import ImageRows

#: So many images of a shard that cannot be read, though they are there, are the disk's fault.
MAX_DISK_ERRORS = 10
#: All that an image may be lost for whose content may be sound.
_UNREAD_ERRNOS = GONE_ERRNOS | TRANSIENT_ERRNOS | set(REMEDIES)

T = TypeVar("T")


class Unread(NamedTuple):
    """An image that was not read, though its content may be sound.

    No exception: the frames of one would keep the rows of a whole shard in memory.
    """

    #: Of the image, below the folder.
    path: str
    #: In words.
    reason: str
    #: As the system numbers it.
    errno: int | None


@dataclass(frozen=True)
class FailureRecorder:
    """Reads the images of a shard, has rows made of them, records failures; thread-safe."""

    #: The images.
    images: ImageSource
    #: What makes the rows, for the message.
    method: str
    #: Those that are made.
    rows: ImageRows
    #: Rows that must not be tried, and why.
    skip: Mapping[int, str] = field(default_factory=dict)
    #: All images of the store, of which some are asked where these cannot be read.
    all_names: Sequence[str] = ()
    _unread: list[Unread] = field(default_factory=list)
    _tried: list[int] = field(default_factory=lambda: [0])

    def read(self, row: int) -> bytes | None:
        """Read the image file of a row, and record its size and checksum.

        None where it cannot be read, or the row must not be tried. If the disk or the machine is
        at fault, that is raised.
        """
        self.rows.bytes[row] = 0  # until it is read
        self._tried[0] += 1
        content = self.run(row, self._read, row)
        if content is not None and row in self.skip:
            self.rows.error[row] = self.skip[row]
            return None
        return content

    def run(self, row: int, function: Callable[..., T], *arguments: object) -> T | None:
        """Call a function for a row, and record its failure as the row's.

        Returns what it returns; None where it failed. If no image is at fault, such as where a
        disk is gone, that is raised.
        """
        try:
            return function(*arguments)
        except ImageError as error:
            self._require_disk(row, error)
            self.rows.error[row] = str(error)
        except DiloError:
            raise
        # A method that stumbles over one image must not take the others with it.
        except Exception as error:
            self.rows.error[row] = f"{self.method} failed: {type(error).__name__}: {error}"
        return None

    def _read(self, row: int) -> bytes:
        """Read a file."""
        content = self.images.read(unescaped(self.rows.path[row]))
        self.rows.bytes[row] = len(content)
        self.rows.file_crc32[row] = isal_zlib.crc32(content)
        return content

    def require_access(self) -> None:
        """Refuse a shard most of whose images the system does not give, or that are not there.

        A single one among others is a row that failed. Of a shard with few images, others of the
        store are asked, so that one image that nobody may read does not end a run.
        """
        unread, tried = len(self._unread), self._tried[0]
        if 2 * unread > tried and (tried >= MAX_DISK_ERRORS or not self._others_readable()):
            refuse(self.images, self._unread)

    @property
    def unread(self) -> list[Unread]:
        """List the images that were not read, though their content may be sound."""
        return list(self._unread)

    def _others_readable(self) -> bool:
        """Check whether most of some images of the store can be opened, but for those tried."""
        names = self.all_names
        count = min(MAX_DISK_ERRORS, len(names))
        positions = {(2 * i + 1) * len(names) // (2 * count) for i in range(count)}
        own_names = set(self.rows.path)
        candidates = [names[position] for position in positions]
        others = [name for name in candidates if escaped(name) not in own_names]
        readable = sum(self.images.open_error(name) is None for name in others)
        return 2 * readable >= len(others) > 0

    def _require_disk(self, row: int, error: ImageError) -> None:
        """Stop where not an image but its disk or the machine is at fault."""
        path = unescaped(self.rows.path[row])
        lost = self.images.lost(path) if error.errno in GONE_ERRNOS else None
        if lost is not None:
            raise DiloError(
                f"{lost} must hold {path!r} of the store's list, got nothing there: is the disk "
                f"mounted? Finished shards are kept; run the same command to resume. If a --list "
                f"named it that is wrong, begin with the right one and another --out"
            ) from error
        if error.errno not in _UNREAD_ERRNOS:
            return
        self._unread.append(Unread(path, str(error), error.errno))
        unread = self.unread
        disk_errors = sum(image.errno in TRANSIENT_ERRNOS for image in unread)
        none_readable = len(unread) >= MAX_DISK_ERRORS and len(unread) == self._tried[0]
        if error.errno in SHORTAGE_ERRNOS or disk_errors >= MAX_DISK_ERRORS or none_readable:
            refuse(self.images, unread)


def refuse(images: ImageSource, unread: Sequence[Unread]) -> NoReturn:
    """Raise an error for images that cannot be read now, of which there is one or more."""
    path, reason, code = unread[-1]
    problem = (
        f"{images.path}: {counted(len(unread), 'image')} could not be read, {escaped(path)!r} for: "
        f"{reason}"
    )
    advice = "finished shards are kept, and the same command resumes"
    if code in REMEDIES:
        # What is kept, the command says.
        raise AccessError(f"{problem}: {REMEDIES[code]}; the same command resumes", code)
    if code in TRANSIENT_ERRNOS:
        raise DiloError(f"{problem}: fix the disk; {advice}")
    raise DiloError(f"{problem}; {advice}: {images.whereabouts(path)}")
