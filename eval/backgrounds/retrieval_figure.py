"""Queries and the photograph that each network finds for them, as a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from dilo.eval.backgrounds.queries import Queries
from dilo.eval.backgrounds.ranks import Ranks
from dilo.eval.common.panels import Block, Panel, panel_figure
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.pictures import picture
from dilo.pipeline.images.names import Names, short_names

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
    first = {
        name: [_position(retrieval, ranks, place) for place in places]
        for name, ranks in retrieval.ranks.items()
    }
    files = short_names(folder.names[at] for at in {*own, *chain.from_iterable(first.values())})
    shown = [item for _, item in (queries[place] for place in places)]
    pictures = [
        picture(folder, position)
        if isinstance(item, str)  # readable a moment ago
        else item.pictures.permute(1, 2, 0).numpy()
        for position, item in zip(own, shown, strict=True)
    ]
    blocks = [
        Block("photograph", "", [[_photograph(folder, position, files)] for position in own]),
        Block("query", f"{queries.size} px", [[Panel(pixels)] for pixels in pictures]),
    ]
    for name, ranks in retrieval.ranks.items():
        note = f"finds {100 * float((ranks.own == 1).double().mean()):.1f} % of all first"
        rows = [
            [_answer(folder, position, files, int(ranks.own[place]))]
            for position, place in zip(first[name], places, strict=True)
        ]
        blocks.append(Block(name, note, rows))
    return panel_figure(blocks)


def _position(retrieval: Retrieval, ranks: Ranks, place: int) -> int:
    """Tell which photograph of the folder a network finds most similar to a query."""
    return retrieval.folder.names.index(retrieval.bank[int(ranks.first[place])])


def _photograph(folder: LabelledFolder, position: int, files: Mapping[str, str]) -> Panel:
    """Show a photograph with its class, where it has one, and its name."""
    file, name = files[folder.names[position]], folder.class_name(position)
    return Panel(picture(folder, position), (file,) if name is None else (name, file))


def _answer(folder: LabelledFolder, position: int, files: Mapping[str, str], rank: int) -> Panel:
    """Show what a network finds most similar, and where the query's own photograph stands."""
    caption = files[folder.names[position]], f"own: rank {rank:,}"
    return Panel(picture(folder, position), caption, rank == 1)
