"""One of several processes fails: its message is there, and all end, whatever they wait for."""

import pytest
from support.launching import launch

#: A training of which one rank fails. To leave the group after an error takes forever, as with
#: NCCL, for which the others would have to leave it too.
PROGRAM = """
import sys, time
import torch
from torch import distributed as group
import dilo.train.cli
from dilo.pipeline.cli.options import Program, user_errors
from dilo.pipeline.errors import DiloError
from dilo.train.__main__ import main
from dilo.train.runtime import distributed

def leave():
    if sys.exc_info()[0]:
        time.sleep(1000)
    left()

left, group.destroy_process_group = group.destroy_process_group, leave

@user_errors
def train():
    with distributed.init_process_group(torch.device("cpu")):
        distributed.any_rank([False])
        if distributed.rank() == {failing}:
            raise {error}
        {waiting}

dilo.train.cli.main = Program("dilo-train", invoke_without_command=True, callback=train)
sys.argv[1:] = []
main()
"""


@pytest.mark.parametrize(
    ("failing", "error", "waiting", "statuses"),
    [
        pytest.param(
            1, "DiloError('no shard 7')", "distributed.any_rank([False])", (3, 3), id="in gloo"
        ),
        pytest.param(1, "DiloError('no shard 7')", "time.sleep(1000)", (3, 3), id="for a device"),
        pytest.param(
            0, "ValueError('no shard 7')", "time.sleep(1000)", (70, 3), id="rank 0, a bug"
        ),
    ],
)
def test_where_one_rank_fails_the_others_end_soon_with_its_message(
    failing, error, waiting, statuses
):
    program = PROGRAM.format(failing=failing, error=error, waiting=waiting)
    processes = launch(["-c", program])
    written = [process.communicate(timeout=60)[1] for process in processes]
    assert tuple(process.returncode for process in processes) == statuses, written
    own, others = written[failing], written[1 - failing]
    assert "Error: " in own
    assert "no shard 7" in own
    assert f"Error: another process of this training failed, rank {failing}: no shard 7" in others
