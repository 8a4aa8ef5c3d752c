"""What `dilo-eval` measures, in the order of the page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A command whose results the page shows.

    Attributes
    ----------
    heading : str
        What it is called.
    command : str
        What makes the result of a run, RUN standing for it; empty for one nobody misses.
    """

    heading: str
    command: str


#: By the "task" of their records, which is the name of the command but for the fast probe.
TASKS = {
    "knn": Task("kNN", "dilo-eval knn --checkpoint RUN --train DIR --test DIR"),
    "linear": Task("Linear probe", "dilo-eval linear --checkpoint RUN --train DIR --test DIR"),
    "linear-fast": Task("Fast linear probe", ""),
    "localize": Task("Localisation", "dilo-eval localize --classifier RUN ..."),
    "backgrounds": Task("Reliance on backgrounds", "dilo-eval backgrounds --classifier RUN ..."),
    "neighbors": Task("Nearest neighbours", "dilo-eval neighbors --checkpoint RUN ..."),
    "gradients": Task("Gradients", "dilo-eval gradients --classifier RUN ..."),
    "saliency": Task("Mask quality", "dilo-eval saliency --masks DIR --truth DIR --out DIR"),
}
