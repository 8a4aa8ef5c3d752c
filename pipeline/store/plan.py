"""The plan of a store: what its shards hold, and of which images. Written first, never changed."""

import dataclasses
import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from dilo.pipeline.common.textfiles import parse_json, read_bytes
from dilo.pipeline.errors import ContentError, StoreError, require_access
from dilo.pipeline.images.names import Names

#: Raised when a store written by this version cannot be read by the one before.
FORMAT_VERSION = 2

#: What a store may hold.
Kind = Literal["masks", "backgrounds", "images"]
PLAN = "plan.json"
IMAGES = "images.txt"
#: Most that a plan may say: of pixels a side, of images, and of both together in the masks of a
#: shard, in bytes, since a worker holds a shard in memory. A shard of backgrounds is at most so
#: large too, nearly.
MAX_SIZE, MAX_IMAGES, MAX_SHARD = 16_384, 2**40, 2**31
#: Bytes of the longest plan.
_MAX_PLAN_BYTES = 2**20
#: Images that a shard has at least: each costs a file, an opening and a few kilobytes.
MIN_SHARD_SIZE = 32


def default_shard_size(images: int) -> int:
    """Choose how many images a shard holds, from their number alone."""
    return min(1000, max(MIN_SHARD_SIZE, math.ceil(images / 64)))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a store holds. Two stores of equal plans are equal, byte for byte."""

    #: What the store holds.
    kind: Kind
    #: How it was computed; of backgrounds, which.
    method: str
    #: Every constant of the method that changes a result.
    parameters: Mapping[str, Any]
    #: Side of a mask, or most of the shorter side of a background or a packed image, in pixels; 0
    #: of images that are packed as they are.
    size: int
    #: Rows of a shard; the last may hold fewer.
    shard_size: int
    #: Rows in all.
    images: int
    #: SHA-256 of the ordered list of paths, as `Names.digest` gives it.
    digest: str

    @property
    def shards(self) -> int:
        """Count the shards."""
        return math.ceil(self.images / self.shard_size)

    def rows(self, shard: int) -> range:
        """Return which images a shard holds, as positions in images.txt."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.images))

    def text(self) -> str:
        """Format the plan as JSON, the content of plan.json."""
        fields = {"format": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    def fingerprint(self) -> str:
        """Digest the plan; every shard carries it, so that shards of two plans never mix."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def describe(self) -> str:
        """Say how the rows were made: "rbd, refined by grabcut, 64 px"."""
        refine = self.parameters.get("refine")
        words = [self.method, *([f"refined by {refine['method']}"] if refine else ())]
        return ", ".join([*words, f"{self.size} px"])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a store's plan."""
        plan, text = cls._read(folder)
        if plan.text().encode() != text:
            raise StoreError(
                f"{folder / PLAN} must be the bytes that dilo-prep wrote, for shards carry their "
                f"digest, got the same plan formatted differently: run the command that made the "
                f"store again: it writes the plan"
            )
        return plan

    @classmethod
    def load_retyped(cls, folder: Path) -> Self:
        """Read a store's plan, even if an editor wrote it anew, with other blanks or line ends."""
        return cls._read(folder)[0]

    @classmethod
    def _read(cls, folder: Path) -> tuple[Self, bytes]:
        """Read and check what plan.json says, and return its bytes too."""
        path = folder / PLAN
        try:
            text = read_bytes(path, _MAX_PLAN_BYTES)
            fields = parse_json(text, path)
            version = fields.pop("format")
        except FileNotFoundError:
            raise StoreError(f"{folder} must be a store made by dilo-prep, got no {PLAN}") from None
        except (OSError, ContentError) as error:
            require_access(error, path)
            reason = str(error).removeprefix(f"{path} ")
            raise StoreError(f"{path} must be a plan that dilo-prep wrote: {reason}") from error
        except (KeyError, AttributeError, TypeError) as error:
            raise StoreError(
                f"{path} must be a plan that dilo-prep wrote: got JSON without its format"
            ) from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path} must have format {FORMAT_VERSION}, got {version!r}: "
                f"read it with the version of dilo that wrote it, or make a fresh store"
            )
        try:
            plan = cls(**fields)
            plan._check()
        except (TypeError, RecursionError) as error:
            raise StoreError(f"{path} must be a plan that dilo-prep wrote: {error}") from error
        return plan, text

    def _check(self) -> None:
        """Refuse what no plan says, with a `TypeError`, before anything is computed from it."""
        _require(self.kind in get_args(Kind), f"kind must be one of {KINDS}", self.kind)
        bounds = {"size": MAX_SIZE, "shard_size": MAX_IMAGES, "images": MAX_IMAGES}
        for name, maximum in bounds.items():
            count = getattr(self, name)
            least = 0 if name == "size" and self.kind == "images" else 1
            positive = type(count) is int and count >= least
            _require(positive, f"{name} must be a positive number", count)
            _require(count <= maximum, f"{name} must be at most {maximum}", count)
        method, digest, parameters = self.method, self.digest, self.parameters
        _require(isinstance(method, str) and method != "", "method must be a name", method)
        hexadecimal = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None
        _require(hexadecimal, "digest must be 64 hexadecimal digits", digest)
        _require(isinstance(parameters, dict), "parameters must be an object", parameters)
        refine = parameters.get("refine", {"method": ""})
        has_method = isinstance(refine, dict) and isinstance(refine.get("method"), str)
        _require(has_method, "parameters.refine must be an object with a method", refine)
        self.text()  # as deep as it is nested
        shard_bytes = min(self.shard_size, self.images) * self.size**2
        _require(
            self.kind != "masks" or shard_bytes <= MAX_SHARD,
            f"the masks of a shard must be at most {MAX_SHARD} bytes",
            shard_bytes,
        )


#: The kinds, for messages.
KINDS = ", ".join(get_args(Kind))


def _require(holds: bool, rule: str, value: object) -> None:
    """Refuse a field of a plan."""
    if not holds:
        raise TypeError(f"{rule}, got {repr(value)[:80]}")


def shard_path(folder: Path, shard: int) -> Path:
    """Return the path of a shard's file."""
    return folder / f"shard-{shard:05d}.h5"


def load_names(folder: Path, plan: Plan) -> Names:
    """Read a store's list of images."""
    path = folder / IMAGES
    try:
        names = Names.read(path)
    except (OSError, ContentError) as error:
        require_access(error, path)
        raise StoreError(
            f"{path} must list the store's images: {error}: "
            f"run the command that made the store again: it writes the list"
        ) from error
    if names.digest() != plan.digest or len(names) != plan.images:
        raise StoreError(
            f"{path} must be the list that {PLAN} was made for ({plan.images} images), "
            f"got another one of {len(names)}: run the command that made the store again: "
            f"it writes the list"
        )
    if fault := names.fault():
        raise StoreError(
            f"{path}: {fault}: make a store whose list names images below their folder"
        )
    return names


@functools.lru_cache(maxsize=1)
def cached_names(folder: Path, digest: str) -> Names:
    """Read a store's list of images once a process, for workers that do shard after shard."""
    return load_names(folder, Plan.load(folder))
