"""Queries and the photograph that each network finds for them, as a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dilo.eval.backgrounds.queries import Queries
from dilo.eval.backgrounds.ranks import Ranks
from dilo.eval.common.panels import Block, Panel, panel_figure
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.pictures import picture
from dilo.pipeline.images.names import Names, find_rows, short_names

if TYPE_CHECKING:  # an extra: who draws nothing needs none of it
    from matplotlib.figure import Figure

#: Images asked for in the figure.
SHOWN = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Retrieval:
    """What networks find for the same queries, N of each of Q images."""

    #: All images.
    folder: LabelledFolder
    #: Number of the photograph that each is of; of shape (M,), int64.
    photographs: NDArray[np.int64]
    #: Position in the folder of each image that can be found; of shape (C,), int64.
    candidates: NDArray[np.int64]
    #: The same of each image that is asked for.
    positions: list[int]
    #: By the name of the network.
    ranks: Mapping[str, Ranks]
    #: The same of the image that lent each background, -1 for none; of shape (Q, N), int64.
    donors: Mapping[str, NDArray[np.int64]]

    def rows(self, paths: Sequence[str]) -> list[int]:
        """Find images that are asked for by their paths; without any, some that lie evenly."""
        count, root = len(self.positions), self.folder.root
        if not paths:
            return [round(float(row)) for row in np.linspace(0, count - 1, min(count, SHOWN))]
        names = Names(self.folder.names[position] for position in self.positions)
        return find_rows(paths, names, root, f"an image in {root} that is asked for")


def retrieval_figure(queries: Queries, retrieval: Retrieval, paths: Sequence[str] = ()) -> "Figure":
    """Draw a row an image: itself, its first query, and what each network finds first."""
    rows, folder = retrieval.rows(paths), retrieval.folder
    own = [retrieval.positions[row] for row in rows]
    first = {name: ranks.first[rows, 0].tolist() for name, ranks in retrieval.ranks.items()}
    files = short_names(folder.names[at] for at in {*own, *chain.from_iterable(first.values())})
    items = [item for _, item in (queries[row] for row in rows)]
    pictures = [
        picture(folder, position)
        if isinstance(item, str)  # readable a moment ago
        else item.pictures[0].permute(1, 2, 0).numpy()
        for position, item in zip(own, items, strict=True)
    ]
    blocks = [
        Block("photograph", "", [[_photograph(folder, position, files)] for position in own]),
        Block("query", f"{queries.size} px", [[Panel(pixels)] for pixels in pictures]),
    ]
    for name, ranks in retrieval.ranks.items():
        share = 100 * float(ranks.shares(ranks.own == 1).mean())
        answers = [
            [_answer(folder, position, files, int(ranks.own[row, 0]))]
            for position, row in zip(first[name], rows, strict=True)
        ]
        blocks.append(Block(name, f"finds {share:.1f} % of all first", answers))
    return panel_figure(blocks)


def _photograph(folder: LabelledFolder, position: int, files: Mapping[str, str]) -> Panel:
    """Show a photograph with its class, where it has one, and its name."""
    file, name = files[folder.names[position]], folder.class_name(position)
    return Panel(picture(folder, position), (file,) if name is None else (name, file))


def _answer(folder: LabelledFolder, position: int, files: Mapping[str, str], rank: int) -> Panel:
    """Show what a network finds most similar, and where the query's own photograph stands."""
    caption = files[folder.names[position]], f"own: rank {rank:,}"
    return Panel(picture(folder, position), caption, rank == 1)
