"""Build a shard although one of its images kills processes: find that image, record it, go on."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from dilo.pipeline.compute.shard import Builder, Outcome
from dilo.pipeline.compute.worker import shielded, worker_environment
from dilo.pipeline.errors import DiloError

#: Deaths of one shard that no image of it can be blamed for, before the run stops.
UNEXPLAINED = 3


@dataclass(frozen=True)
class Apart:
    """Builds shards in a process of their own each; calling it with a number is the task.

    Attributes
    ----------
    builder : Builder
        Which shards.
    """

    builder: Builder

    def __call__(self, shard: int) -> Outcome:
        """Build one shard; an image that kills the process twice, once alone, fails.

        Parameters
        ----------
        shard : int
            Number of the shard.

        Returns
        -------
        Outcome
            How many images it holds and which of them failed.

        Raises
        ------
        DiloError
            If the process dies for no image's sake, or says itself why it cannot go on.
        """
        broken: dict[int, str] = {}
        unexplained = 0
        while True:
            row, death = self._child(shard=shard, broken=broken)
            if not death:
                return self.builder(shard)
            if row is not None and (alone := self._child(shard=shard, row=row)[1]):
                broken[row] = f"killed the process that computed it, twice: {alone}"
                continue
            unexplained += 1
            if unexplained == UNEXPLAINED:
                raise DiloError(
                    f"shard {shard}: the process died {unexplained} times ({death}), but of no "
                    f"image in particular: give it more memory, or fewer --jobs, and the same "
                    f"command goes on"
                )

    def _child(self, **request: Any) -> tuple[int | None, str]:
        """Run a process on a request: the last row that it began, and what it died of, or ''."""
        asked = {"places": self.builder.places(), **request}
        # -P: the folder that the user happens to be in is no place to import from.
        command = [sys.executable, "-P", "-m", "dilo.pipeline.compute.isolation"]
        row, refusal = None, ""
        pipe = subprocess.PIPE
        alone = os.environ | worker_environment()  # as any worker, so that no sum is reordered
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=alone) as child:
            try:
                with suppress(BrokenPipeError), cast("IO[str]", child.stdin) as asks:
                    asks.write(json.dumps(asked))
                for line in cast("IO[str]", child.stdout):
                    said = json.loads(line)
                    row, refusal = said.get("row", row), said.get("refusal", "")
            except BaseException:
                child.kill()
                raise
        if refusal:
            raise DiloError(refusal)
        return row, _named(child.returncode)


def _named(returncode: int) -> str:
    """Say what a process died of; '' if it did not."""
    if returncode >= 0:
        return f"exit status {returncode}" if returncode else ""
    name = signal.Signals(-returncode).name
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


def main() -> None:
    """Be the child: say each row before it is made, in a line of JSON on standard output.

    Standard input is JSON with the `places` of a `Builder`, the `shard`, and either the one
    `row` to try, or the rows that are `broken`, with their reasons, and must not be tried.
    """
    shielded(os.getppid())
    asked = json.load(sys.stdin)
    builder = Builder.at(asked["places"])
    # What libraries print goes elsewhere: the lines below are for the parent alone.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**said: Any) -> None:
        lines.write(json.dumps(said) + "\n")
        lines.flush()

    try:
        if "row" in asked:
            builder.try_row(asked["shard"], asked["row"])
        else:
            broken = {int(row): reason for row, reason in asked["broken"].items()}
            builder.build(asked["shard"], begin=lambda row: tell(row=row), broken=broken)
    except (DiloError, OSError) as error:
        tell(refusal=str(error))


if __name__ == "__main__":
    main()
