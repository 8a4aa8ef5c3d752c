"""Queries and what networks find for them, as a figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dilo.eval.common.panels import Block, Panel, panel_figure
from dilo.eval.features.pictures import picture
from dilo.eval.gradients.explainer import Explanation
from dilo.eval.gradients.figure import image_block, map_panels
from dilo.eval.neighbors.comparison import Comparison
from dilo.eval.neighbors.search import Neighbors
from dilo.pipeline.images.names import short_names

if TYPE_CHECKING:  # an extra: who draws nothing needs none of it
    from matplotlib.figure import Figure


def neighbor_figure(
    comparison: Comparison, shown: Sequence[int], explanations: Mapping[str, Sequence[Explanation]]
) -> "Figure":
    """Draw the paper's figure 2: a row a query, its neighbours by each checkpoint."""
    blocks = [image_block("query", comparison.queries, shown)]
    for one in comparison.results:
        neighbors = one.rows[list(shown), : comparison.k].flatten().tolist()
        files = short_names(comparison.bank.names[neighbor] for neighbor in neighbors)
        rows = [_neighbor_panels(comparison, one, row, files) for row in shown]
        heads = [_head(comparison, one, row) for row in shown] if comparison.bank.classes else []
        blocks.append(Block(one.name, _note(comparison, one), rows, heads))
        if one.name in explanations:
            blocks.append(
                Block(
                    "gradient",
                    one.name,
                    [map_panels(e, None) for e in explanations[one.name]],
                )
            )
    return panel_figure(blocks)


def _neighbor_panels(
    comparison: Comparison, neighbors: Neighbors, row: int, files: Mapping[str, str]
) -> list[Panel]:
    """Make the panels of a query's neighbours, each with its class or the name of its file."""
    bank, panels = comparison.bank, []
    for i in range(comparison.k):
        neighbor = int(neighbors.rows[row, i])
        similarity = f"similarity {float(neighbors.similarities[row, i]):.2f}"
        mark = bool(neighbors.same[row, i]) if comparison.has_labels else None
        name = bank.class_name(neighbor) or files[bank.names[neighbor]]
        panels.append(Panel(picture(bank, neighbor), (name, similarity), mark))
    return panels


def _head(comparison: Comparison, neighbors: Neighbors, row: int) -> str:
    """Say what the neighbours vote for."""
    vote = f"vote: {comparison.bank.classes[int(neighbors.votes[row])]}"
    if not comparison.has_labels:
        return vote
    return f"{vote}, {'right' if neighbors.right[row] else 'wrong'}"


def _note(comparison: Comparison, neighbors: Neighbors) -> str:
    """Say how good the neighbours of all queries are."""
    step = "" if neighbors.encoder.step is None else f"step {neighbors.encoder.step}, "
    size = f"{step}{neighbors.encoder.size} px"
    if not comparison.has_labels:
        return size
    return (
        f"{size}\nof all {len(comparison.queries.names)} queries: "
        f"precision@{comparison.k} {neighbors.precision(comparison.k):.1f} %, "
        f"right by the vote of {neighbors.voters} {neighbors.accuracy():.1f} %"
    )
