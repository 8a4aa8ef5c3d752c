"""Queries and the photograph that each network finds for them, as a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from dilo.eval.backgrounds.queries import Queries
from dilo.eval.backgrounds.ranks import Ranks
from dilo.eval.common.panels import Block, Panel, panel_figure
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.pictures import caption_of, picture
from dilo.pipeline.images.names import Names

if TYPE_CHECKING:  # an extra: who draws nothing needs none of it
    from matplotlib.figure import Figure

#: Queries of the figure.
SHOWN = 8


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What networks find for the same queries."""

    #: The photographs.
    folder: LabelledFolder
    #: Those that could be read, by the rows of the ranks.
    bank: Names
    #: Position of each query's photograph in the folder.
    positions: list[int]
    #: By the name of the network.
    ranks: Mapping[str, Ranks]
    #: Row of the photograph that lent each background, -1 for none; of shape (Q,), int64.
    donors: Mapping[str, Tensor]


def retrieval_figure(queries: Queries, retrieval: Retrieval) -> "Figure":
    """Draw a row a query: its photograph, the query, and what each network finds first."""
    count = len(retrieval.positions)
    places = [round(float(at)) for at in np.linspace(0, count - 1, min(count, SHOWN))]
    folder = retrieval.folder
    own = [retrieval.positions[place] for place in places]
    shown = [item for _, item in (queries[place] for place in places)]
    pictures = [
        picture(folder, position)
        if isinstance(item, str)  # readable a moment ago
        else item.pictures.permute(1, 2, 0).numpy()
        for position, item in zip(own, shown, strict=True)
    ]
    blocks = [
        Block("photograph", "", [[_photograph(folder, position)] for position in own]),
        Block("query", f"{queries.size} px", [[Panel(pixels)] for pixels in pictures]),
    ]
    for name, ranks in retrieval.ranks.items():
        note = f"finds {100 * float((ranks.own == 1).double().mean()):.1f} % of all first"
        rows = [[_found(retrieval, ranks, place)] for place in places]
        blocks.append(Block(name, note, rows))
    return panel_figure(blocks)


def _photograph(folder: LabelledFolder, position: int) -> Panel:
    """Show a photograph with its name."""
    return Panel(picture(folder, position), caption_of(folder, position))


def _found(retrieval: Retrieval, ranks: Ranks, place: int) -> Panel:
    """Show what a network finds most similar, and where the query's own photograph stands."""
    folder, rank = retrieval.folder, int(ranks.own[place])
    position = folder.names.index(retrieval.bank[int(ranks.first[place])])
    name = caption_of(folder, position)[0]
    return Panel(picture(folder, position), (name, f"own: rank {rank:,}"), rank == 1)
