"""The plan of a store: what its shards hold, and of which images. Written first, never changed."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from dilo.pipeline.atomic import write_new, write_text
from dilo.pipeline.errors import StoreError
from dilo.pipeline.names import Names

#: Raised when a store written by this version cannot be read by the one before.
FORMAT_VERSION = 1

PLAN = "plan.json"
IMAGES = "images.txt"


def default_shard_size(images: int) -> int:
    """Choose how many images a shard holds, from their number alone.

    Parameters
    ----------
    images : int
        Number of images in the store.

    Returns
    -------
    int
        About 64 shards for a small store, so that 500 images keep 16 cores busy; at
        most 1000 images each, so that a kill costs minutes and ImageNet is 1282 files.
    """
    return min(1000, max(1, math.ceil(images / 64)))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a store holds. Two stores of equal plans are equal, byte for byte.

    Attributes
    ----------
    kind : {"masks"}
        What a row is.
    method : str
        How it was computed.
    parameters : mapping
        Every constant of the method that changes a result.
    size : int
        Side of a mask, in pixels.
    shard_size : int
        Rows of a shard; the last may hold fewer.
    images : int
        Rows in all.
    digest : str
        SHA-256 of the ordered list of paths, as `Names.digest` gives it.
    """

    kind: Literal["masks"]
    method: str
    parameters: Mapping[str, Any]
    size: int
    shard_size: int
    images: int
    digest: str

    @property
    def shards(self) -> int:
        """Count the shards.

        Returns
        -------
        int
            The last may hold fewer rows.
        """
        return math.ceil(self.images / self.shard_size)

    def rows(self, shard: int) -> range:
        """Tell which images a shard holds.

        Parameters
        ----------
        shard : int
            Number of the shard, from 0.

        Returns
        -------
        range
            Positions in images.txt.
        """
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.images))

    def text(self) -> str:
        """Write the plan as JSON, the content of plan.json.

        Returns
        -------
        str
            JSON with sorted keys, the same for equal plans.
        """
        fields = {"format": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    def fingerprint(self) -> str:
        """Digest the plan; every shard carries it, so that shards of two plans never mix.

        Returns
        -------
        str
            SHA-256 of `text`, as 64 hexadecimal digits.
        """
        return hashlib.sha256(self.text().encode()).hexdigest()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a store's plan.

        Parameters
        ----------
        folder : Path
            The store.

        Returns
        -------
        Plan
            What plan.json says.

        Raises
        ------
        StoreError
            If there is no plan, it is damaged, or a newer version wrote it.
        """
        path = folder / PLAN
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            version = fields.pop("format")
        except FileNotFoundError:
            raise StoreError(f"{folder} must be a store made by dilo-prep, got no {PLAN}") from None
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise StoreError(f"{path} must be a plan that dilo-prep wrote: {error!r}") from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path} must have format {FORMAT_VERSION}, got {version!r}: "
                f"read it with the version of dilo that wrote it, or make a fresh store"
            )
        try:
            return cls(**fields)
        except TypeError as error:
            raise StoreError(f"{path} must be a plan that dilo-prep wrote: {error}") from error


def shard_path(folder: Path, shard: int) -> Path:
    """Name the file of a shard.

    Parameters
    ----------
    folder : Path
        The store.
    shard : int
        Number of the shard, from 0.

    Returns
    -------
    Path
        ``shard-00000.h5`` and so on.
    """
    return folder / f"shard-{shard:05d}.h5"


def load_names(folder: Path, plan: Plan) -> Names:
    """Read a store's list of images.

    Parameters
    ----------
    folder : Path
        The store.
    plan : Plan
        Its plan.

    Returns
    -------
    Names
        The images' paths, in the order of the rows.

    Raises
    ------
    StoreError
        If the list is missing or is not the one that the plan was made for.
    """
    try:
        names = Names.read(folder / IMAGES)
    except OSError as error:
        raise StoreError(
            f"{folder / IMAGES} must list the store's images: {error}: "
            f"give the command that made the store again, it writes the list"
        ) from error
    if names.digest() != plan.digest:
        raise StoreError(
            f"{folder / IMAGES} must be the list that {PLAN} was made for ({plan.images} images), "
            f"got another one of {len(names)}: give the command that made the store again, "
            f"it writes the list"
        )
    return names


@functools.lru_cache(maxsize=1)
def names_once(folder: Path, digest: str) -> Names:
    """Read a store's list of images once a process, for workers that do shard after shard.

    Parameters
    ----------
    folder : Path
        The store.
    digest : str
        The list's, as the plan says: a cluster's workers may outlive a store.

    Returns
    -------
    Names
        As `load_names`.
    """
    return load_names(folder, Plan.load(folder))


def publish(folder: Path, plan: Plan, names: Names) -> None:
    """Start a store, or check that the one there has this very plan; mend its list.

    Parameters
    ----------
    folder : Path
        The store; made if it is missing.
    plan : Plan
        What is asked for.
    names : Names
        The images, in order.

    Raises
    ------
    StoreError
        If the folder holds a store of another plan, or shards without a plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    require_startable(folder, plan, names)
    if not (folder / PLAN).exists():
        write_new(folder / PLAN, plan.text())  # of two commands that begin at once, one wins
    # Whoever wrote it, and whenever: perhaps between the lines above.
    require_startable(folder, plan, names)
    try:
        load_names(folder, plan)
    except StoreError:  # a kill, or damage, between the plan and its list; this is the list
        write_text(folder / IMAGES, names.text())


def require_startable(folder: Path, plan: Plan, names: Names) -> None:
    """Refuse a folder that holds something else than a store of this very plan, or nothing.

    Parameters
    ----------
    folder : Path
        The store; need not exist.
    plan : Plan
        What is asked for.
    names : Names
        The images, in order.

    Raises
    ------
    StoreError
        If the folder holds a store of another plan, or shards without a plan.
    """
    if (folder / PLAN).exists():
        _require_same(folder, Plan.load(folder), plan, names)
    elif any(folder.glob("shard-*.h5")):
        raise StoreError(f"--out {folder} holds shards but no {PLAN}: give a fresh folder")


def _require_same(folder: Path, found: Plan, asked: Plan, names: Names) -> None:
    """Refuse a plan that differs, naming what differs."""
    if found == asked:
        return
    have, want = _told(found, asked), _told(asked, found)
    keys = [key for key in {**have, **want} if have.get(key) != want.get(key)]
    says = ", ".join(f"{key} {have.get(key)!r}" for key in keys) or f"{found.images} images"
    wants = ", ".join(f"{key} {want.get(key)!r}" for key in keys)
    other = _other_names(folder, found, names) if found.digest != asked.digest else ""
    raise StoreError(
        f"--out {folder}: {PLAN} says {says}; "
        f"asked for {wants or f'{asked.images} of other names'}{other}: "
        f"a store is never changed, so ask for what it says or give a fresh folder"
    )


def _other_names(folder: Path, plan: Plan, names: Names) -> str:
    """Say which images came and went since a store was planned, one of each by name."""
    try:
        before, now = set(load_names(folder, plan)), set(names)
    except StoreError:
        return ""
    told = []
    for word, some in (("added", now - before), ("gone", before - now)):
        if some:
            told.append(f"{len(some)} {word} since, such as {min(some)!r}")
    return f" ({'; '.join(told) or 'in another order'})"


def _told(plan: Plan, other: Plan) -> dict[str, Any]:
    """Flatten what a refusal may name; another method has other parameters anyway."""
    told = dataclasses.asdict(plan)
    del told["digest"]
    parameters = dict(told.pop("parameters"))
    refine = parameters.pop("refine", {})
    if plan.method == other.method:
        told |= parameters | {f"refine.{name}": value for name, value in refine.items()}
    return told
