"""Whether images are those that a store was made of: looked at before all else."""

from collections.abc import Sequence

from dilo.pipeline.errors import StoreError, require_access
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.source import ImageSource

#: Images that are looked for: the first of the list, and others spread over it.
FIRST, SPREAD = 8, 24


def require_images(
    images: ImageSource,
    names: Sequence[str],
    option: str = "--images",
    *,
    rows: Sequence[int] | None = None,
) -> None:
    """Refuse a folder that is not the one that a store was made of, by some of its images."""
    rows = range(len(names)) if rows is None else rows
    count = len(rows)
    first = range(min(FIRST, count))
    spread = {(2 * i + 1) * count // (2 * SPREAD) for i in range(SPREAD)}
    positions = sorted({*first, *spread})
    missing = [position for position in positions if not images.has(names[rows[position]])]
    if 2 * len(missing) > len(positions) or set(first) <= set(missing):
        name = names[rows[missing[0]]]
        raise StoreError(
            f"{option} {images.path} must hold the images of the store, but {escaped(name)} and "
            f"{len(missing) - 1} more of {len(positions)} checked are missing; nothing was "
            f"changed: {images.whereabouts(name)}"
        )


def require_any(images: ImageSource, names: Sequence[str], option: str = "--images") -> int:
    """Refuse a folder in which none of some images can be opened, and count those that cannot."""
    errors = [error for name in names if (error := images.open_error(name)) is not None]
    if len(errors) == len(names):
        require_access(errors[0], images.location(names[0]))
        first = escaped(names[0])
        rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise StoreError(
            f"{option} {images.path} must hold the images to be shown, got no {first}{rest}: "
            f"{images.whereabouts(names[0])}"
        )
    return len(errors)
