"""Begin a store, or go on with one: which images, by which plan, and nothing else in its place."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.pipeline.common.files import remove_leftovers, write_if_absent, write_text
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection, OnProgress, Say
from dilo.pipeline.store.plan import (
    IMAGES,
    MAX_SHARD,
    PLAN,
    Kind,
    Plan,
    default_shard_size,
    load_names,
)


@dataclass(frozen=True)
class StoreSpec:
    """What a store is to hold, whichever images it will be of."""

    #: What a row is.
    kind: Kind
    #: How it is made.
    method: str
    #: Every number of the method that decides a row.
    parameters: Mapping[str, Any]
    #: Side of a mask, or of the shorter side of a background or a packed image, in pixels.
    size: int

    @property
    def row_bytes(self) -> int:
        """Compute how many bytes of a worker's memory a row takes at most."""
        return int(self.size**2 * self.parameters.get("crops", 1))

    def shard_size(self, names: Names) -> int:
        """Choose how many images a shard holds, such that they fit into a worker's memory."""
        return max(1, min(default_shard_size(len(names)), MAX_SHARD // self.row_bytes))

    def plan(self, names: Names, shard_size: int) -> Plan:
        """Return the plan of a store of these images."""
        return Plan(
            kind=self.kind,
            method=self.method,
            parameters=self.parameters,
            size=self.size,
            shard_size=shard_size,
            images=len(names),
            digest=names.digest(),
        )


def plan_store(
    images: Path | ImageSelection,
    store: Path,
    spec: StoreSpec,
    *,
    shard_size: int | None = None,
    reuse_list: bool = False,
    on_progress: OnProgress | None = None,
    say: Say | None = None,
) -> tuple[Plan, Names]:
    """Plan a store, or check that the one there is what is asked for; write nothing.

    Without a `shard_size`, it is that of the store that is there, or chosen by the number of
    images. `reuse_list` takes the list of a store that is there instead of reading the folder
    anew: for the tasks of an array, which would all read a million names from a shared disk at
    once. `on_progress` is called now and then with the number of images found so far; `say`, with
    a line on pictures of kinds that are not read.
    """
    existing = Plan.load_retyped(store) if (store / PLAN).exists() else None
    names = _load_list(store, existing) if reuse_list and existing else None
    if names is None:
        names = ImageSelection.of(images).names(on_progress, say, store)
    if shard_size is None:
        shard_size = existing.shard_size if existing else spec.shard_size(names)
    plan = spec.plan(names, shard_size)
    _check_shard_memory(plan, spec.row_bytes)
    _check_same_plan(store, plan, names)
    return plan, names


def create_store(store: Path, plan: Plan, names: Names) -> None:
    """Write plan and list, where they are not there yet, and sweep what killed writers left."""
    store.mkdir(parents=True, exist_ok=True)
    _check_same_plan(store, plan, names)
    if not (store / PLAN).exists():
        write_if_absent(store / PLAN, plan.text())  # of two commands that begin at once, one wins
    # Whoever wrote it, and whenever: perhaps between the lines above.
    _check_same_plan(store, plan, names)
    try:
        Plan.load(store)
    except StoreError:  # the same plan, as an editor wrote it anew; shards carry this one's digest
        write_text(store / PLAN, plan.text())
    try:
        load_names(store, plan)
    except StoreError:  # a kill, or damage, between the plan and its list; this is the list
        write_text(store / IMAGES, names.text())
    remove_leftovers(store)


def _check_shard_memory(plan: Plan, row_bytes: int) -> None:
    """Refuse shards that would not fit into a worker's memory, by the bytes of a row."""
    if min(plan.shard_size, plan.images) * row_bytes > MAX_SHARD:
        raise DiloError(
            f"--shard-size must be at most {MAX_SHARD // row_bytes} at --size {plan.size}, for a "
            f"worker holds a shard in memory, got {plan.shard_size}"
        )


def _load_list(store: Path, plan: Plan) -> Names | None:
    """Read the list of a store, unless another task is only now writing it."""
    try:
        return load_names(store, plan)
    except StoreError:
        return None


def _check_same_plan(folder: Path, plan: Plan, names: Names) -> None:
    """Refuse a folder that holds something else than a store of this very plan, or nothing."""
    if (folder / PLAN).exists():
        _require_same(folder, Plan.load_retyped(folder), plan, names)
    elif any(folder.glob("shard-*.h5")):
        raise StoreError(f"--out {folder} holds shards but no {PLAN}: give a new folder")


def _require_same(folder: Path, existing: Plan, requested: Plan, names: Names) -> None:
    """Refuse a plan that differs, naming what differs."""
    if existing == requested:
        return
    before, wanted = _flat_fields(existing, requested), _flat_fields(requested, existing)
    keys = [key for key in {**before, **wanted} if before.get(key) != wanted.get(key)]
    stated = ", ".join(f"{key} {before.get(key)!r}" for key in keys) or f"{existing.images} images"
    request = ", ".join(f"{key} {wanted.get(key)!r}" for key in keys)
    changes = _other_names(folder, existing, names) if existing.digest != requested.digest else ""
    raise StoreError(
        f"--out {folder}: {PLAN} says {stated}; "
        f"asked for {request or f'{requested.images} of other names'}{changes}: "
        f"a store is never changed: use its settings, or give a new folder"
    )


def _other_names(folder: Path, plan: Plan, names: Names) -> str:
    """Format which images came and went since a store was planned, one of each by name."""
    try:
        before, now = set(load_names(folder, plan)), set(names)
    except StoreError:
        return ""
    parts = []
    for word, group in (("added", now - before), ("gone", before - now)):
        if group:
            parts.append(f"{len(group)} {word} since, such as {min(group)!r}")
    return f" ({'; '.join(parts) or 'in another order'})"


def _flat_fields(plan: Plan, other: Plan) -> dict[str, Any]:
    """Flatten what a refusal may name; another method has other parameters anyway."""
    fields = dataclasses.asdict(plan)
    del fields["digest"]
    parameters = dict(fields.pop("parameters"))
    refine = parameters.pop("refine", {})
    if plan.method == other.method:
        fields |= parameters | {f"refine.{name}": value for name, value in refine.items()}
    return fields
