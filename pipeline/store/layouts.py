"""What the rows of a store are, for its readers: no maker of them is imported."""

from dilo.pipeline.store.backgroundrows import BackgroundRows
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.packedrows import PackedRows
from dilo.pipeline.store.plan import Kind, Plan
from dilo.pipeline.store.rows import ImageRows, Layout

_ROWS: dict[Kind, type[ImageRows]] = {
    "masks": MaskRows,
    "backgrounds": BackgroundRows,
    "images": PackedRows,
}


def rows_of(plan: Plan) -> type[ImageRows]:
    """Return the class of a store's rows."""
    return _ROWS[plan.kind]


def layout_of(plan: Plan, shard: int) -> Layout:
    """Return the datasets that a shard has."""
    return rows_of(plan).layout(len(plan.rows(shard)), plan)
