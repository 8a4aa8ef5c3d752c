"""Build a shard although one of its images kills processes: find that image, record it, go on."""

import json
import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from dilo.pipeline.compute.shard import Outcome, ShardBuilder
from dilo.pipeline.compute.worker import start_worker, worker_environment
from dilo.pipeline.errors import DiloError

#: Deaths of one shard that no image of it can be blamed for, before the run stops.
MAX_UNEXPLAINED_DEATHS = 3


@dataclass(frozen=True)
class IsolatedBuilder:
    """Builds shards in a process of their own each; its `build` is the task of a worker."""

    builder: ShardBuilder

    def build(self, shard: int) -> Outcome:
        """Build one shard; an image that kills the process twice, once alone, fails."""
        skip: dict[int, str] = {}
        unexplained = 0
        while True:
            row, death = self._run_child(shard=shard, skip=skip)
            if not death:
                return self.builder.build(shard)
            if row is not None and (death_alone := self._run_child(shard=shard, row=row)[1]):
                skip[row] = f"killed the process that computed it, twice: {death_alone}"
                continue
            unexplained += 1
            if unexplained == MAX_UNEXPLAINED_DEATHS:
                raise DiloError(
                    f"shard {shard}: the process died {unexplained} times ({death}), but not "
                    f"because of one image: give it more memory, or fewer --workers, and the same "
                    f"command resumes"
                )

    def _run_child(self, **request: Any) -> tuple[int | None, str]:
        """Run a process on a request; return the last row that it began, and its death, or ''."""
        # -P: the folder that the user happens to be in is no place to import from.
        command = [sys.executable, "-P", "-m", "dilo.pipeline.compute.isolation"]
        row, refusal = None, ""
        pipe = subprocess.PIPE
        # As any worker, so that no sum is reordered.
        environment = os.environ | worker_environment()
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as child:
            try:
                with suppress(BrokenPipeError), cast("IO[bytes]", child.stdin) as requests:
                    requests.write(pickle.dumps((self.builder, request)))
                for line in cast("IO[bytes]", child.stdout):
                    report = json.loads(line)
                    row, refusal = report.get("row", row), report.get("refusal", "")
            except BaseException:
                child.kill()
                raise
        if refusal:
            raise DiloError(refusal)
        return row, _signal_name(child.returncode)


def _signal_name(returncode: int) -> str:
    """Name what a process died of; '' if it did not."""
    if returncode >= 0:
        return f"exit status {returncode}" if returncode else ""
    name = signal.Signals(-returncode).name
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


def main() -> None:
    """Run as the child: report each row before it is made, in a line of JSON on standard output.

    Standard input is a pickle of the parent's: its `ShardBuilder`, and the request, a mapping with
    the `shard` and either the one `row` to try, or the rows to `skip`, with the reasons.
    """
    start_worker(os.getppid())
    builder, request = pickle.load(sys.stdin.buffer)  # noqa: S301  # the parent alone writes there
    # What libraries print goes elsewhere: the lines below are for the parent alone.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(**report: Any) -> None:
        lines.write(json.dumps(report) + "\n")
        lines.flush()

    try:
        if "row" in request:
            builder.try_row(request["shard"], request["row"])
        else:
            shard, skip = request["shard"], request["skip"]
            builder.build(shard, on_row=lambda row: send(row=row), skip=skip)
    except (DiloError, OSError) as error:
        send(refusal=str(error))


if __name__ == "__main__":
    main()
