"""What `dilo-eval` measures, in the order of the page."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dilo.eval.common.lookup import find_in


@dataclass(frozen=True)
class Task:
    """A command whose results the page shows."""

    #: What it is called.
    heading: str
    #: What makes the result of a run, RUN standing for it; empty for one nobody misses.
    command: str
    #: What else the command takes, where no record says it.
    rest: str = ""
    #: The same as options, and where a record of another run says the folder of each.
    folders: tuple[tuple[str, str], ...] = ()

    def whole(self, record: Mapping[str, Any] | None) -> str:
        """Complete the command with the folders of a record of another run, if it has them all."""
        if not record or not self.folders:
            return f"{self.command} {self.rest}".strip()
        words = [self.command]
        for option, path in self.folders:
            value = next((value for value, _ in find_in(record, path.split("."))), None)
            if not isinstance(value, str):
                return f"{self.command} {self.rest}".strip()
            if option == "--truth" and record.get("truth_kind") == "boxes":
                option = "--boxes"
            words += [option, shlex.quote(value)]
        return " ".join(words)


#: Where records of what is trained on images and tested on others have both folders.
TRAINED = (("--train", "inputs.train.folder"), ("--test", "inputs.test.folder"))


#: By the "task" of their records, which is the name of the command, and of its mode.
TASKS = {
    "knn": Task("kNN", "dilo-eval knn --checkpoint RUN", "--train DIR --test DIR", TRAINED),
    "linear": Task(
        "Linear probe", "dilo-eval linear --checkpoint RUN", "--train DIR --test DIR", TRAINED
    ),
    "linear-fast": Task("Fast linear probe", ""),
    "detect": Task("Detection", "dilo-eval detect --checkpoint RUN", "--voc DIR"),
    "localize": Task(
        "Localisation",
        "dilo-eval localize --checkpoint RUN",
        "--images DIR --truth DIR",
        (("--images", "inputs.images.folder"), ("--truth", "inputs.truth.folder")),
    ),
    "discovery": Task("Object discovery", ""),
    "backgrounds": Task(
        "Reliance on backgrounds",
        "dilo-eval backgrounds --checkpoint RUN",
        "--images DIR --masks DIR",
        (("--images", "inputs.images.folder"), ("--masks", "inputs.masks.folder")),
    ),
    "backgrounds-retrieval": Task(
        "Retrieval across backgrounds",
        "dilo-eval backgrounds --retrieval --checkpoint RUN",
        "--images DIR --masks DIR",
        (("--images", "inputs.images.folder"), ("--masks", "inputs.masks.folder")),
    ),
    "neighbors": Task(
        "Nearest neighbours",
        "dilo-eval neighbors --checkpoint RUN",
        "--images DIR",
        (("--images", "inputs.images.folder"),),
    ),
    "gradients": Task(
        "Gradients",
        "dilo-eval gradients --checkpoint RUN",
        "--images DIR",
        (("--images", "inputs.images.folder"),),
    ),
    "saliency": Task("Mask quality", "dilo-eval saliency --masks DIR --truth DIR --out DIR"),
}
