"""The plan of a store: what its shards hold, and of which images. Written first, never changed."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from dilo.pipeline.errors import StoreError
from dilo.pipeline.names import Names

#: Raised when a store written by this version cannot be read by the one before.
FORMAT_VERSION = 1

#: What a store may hold.
Kind = Literal["masks", "backgrounds"]
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
    kind : {"masks", "backgrounds"}
        What the store holds.
    method : str
        How it was computed; of backgrounds, which.
    parameters : mapping
        Every constant of the method that changes a result.
    size : int
        Side of a mask, or most of the shorter side of a background, in pixels.
    shard_size : int
        Rows of a shard; the last may hold fewer.
    images : int
        Rows in all.
    digest : str
        SHA-256 of the ordered list of paths, as `Names.digest` gives it.
    """

    kind: Kind
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
            plan = cls(**fields)
            if plan.kind not in get_args(Kind):
                raise TypeError(
                    f"kind must be one of {', '.join(get_args(Kind))}, got {plan.kind!r}"
                )
            for name in ("size", "shard_size", "images"):
                if type(count := getattr(plan, name)) is not int or count < 1:
                    raise TypeError(f"{name} must be a positive number, got {count!r}")
            return plan
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
