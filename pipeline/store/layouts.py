"""What the rows of a store are, for its readers: no maker of them is imported."""

from dilo.pipeline.store.backgroundrows import BackgroundRows
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import ImageRows, Layout


def rows_of(plan: Plan) -> type[ImageRows]:
    """Return the class of a store's rows."""
    return BackgroundRows if plan.kind == "backgrounds" else MaskRows


def layout_of(plan: Plan, shard: int) -> Layout:
    """Return the datasets that a shard has."""
    return rows_of(plan).layout(len(plan.rows(shard)), plan)
