"""How many backgrounds there are, and where the others are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.common.printing import counted
from dilo.pipeline.store.backgroundrows import NO_WINDOW, NOT_NEEDED
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import OK
from dilo.pipeline.store.shardfile import ShardSummary


@dataclass(frozen=True)
class BackgroundCounts:
    """What the shards of a store that are there hold."""

    #: In all.
    backgrounds: int
    #: Images that gave some.
    from_images: int
    #: Images in which no window fits.
    without_window: int
    #: Images that were not needed.
    not_drawn: int
    #: How many backgrounds fewer than `--count` asks of these shards.
    short: int

    def summary(self) -> str:
        """Format it in a line."""
        line = (
            f"{counted(self.backgrounds, 'background')} from {counted(self.from_images, 'image')}"
        )
        if self.without_window:
            line += f"; {counted(self.without_window, 'image')} without a window"
            if self.without_window > self.from_images:
                line += " (a smaller --min-side or a larger --max-saliency finds more)"
        if self.not_drawn:
            line += f"; {counted(self.not_drawn, 'image')} not drawn"
        if self.short:
            line += f"; {self.short} fewer than --count"
        return line


def count_backgrounds(
    plan: Plan, shards: Sequence[int], summaries: Sequence[ShardSummary]
) -> BackgroundCounts:
    """Count what some shards hold."""
    recipe = BackgroundRecipe.from_plan(plan)
    states: Counter[int] = Counter()
    for shard_summary in summaries:
        states += shard_summary.states
    total = sum(shard_summary.backgrounds for shard_summary in summaries)
    quotas = [recipe.quota(plan.rows(shard), plan.images) for shard in shards]
    requested = sum(quota for quota in quotas if quota is not None)
    return BackgroundCounts(
        backgrounds=total,
        from_images=states[OK],
        without_window=states[NO_WINDOW],
        not_drawn=states[NOT_NEEDED],
        short=max(0, requested - total),
    )
