"""What a user can mend: errors that name the thing, the rule, what was got and what to do."""

from collections.abc import Sequence


class DiloError(Exception):
    """Something the user can act on; a command line prints it without a traceback."""


class ImageError(DiloError):
    """An image that cannot be read; recorded beside its path, never the end of a run.

    Parameters
    ----------
    reason : str
        What is wrong, without the path.
    errno : int, optional
        What the system said, as `errno` names it, where the file could not be read: then
        the picture itself may be sound. None for a file that was read and is no sound image.
    """

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.errno = errno


class StoreError(DiloError):
    """A store of shards that is missing, damaged, or not what was asked for."""


class RecipeError(DiloError):
    """A recipe, or an option that overrides it, that cannot be used."""


class CheckpointError(DiloError):
    """A checkpoint that cannot be read or does not fit."""


def few(names: Sequence[str]) -> str:
    """List the first three names and count the rest.

    Parameters
    ----------
    names : sequence of str
        All.

    Returns
    -------
    str
        For a sentence.
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
