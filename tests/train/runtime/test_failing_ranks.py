"""One of several processes fails: its message is there, and all end, whatever they wait for."""

import sys
import time

import pytest
import torch
from support.launching import start_ranks
from torch import distributed as group

from dilo.pipeline.cli.options import Program, user_errors
from dilo.pipeline.errors import DiloError
from dilo.train.runtime import distributed
from dilo.train.runtime.launch import end_together


def program(failing, error, wait):
    """Make a training of which one rank fails.

    To leave the group after an error takes forever, as with NCCL, for which the others would have
    to leave it too.
    """
    left = group.destroy_process_group

    def leave():
        if sys.exc_info()[0]:
            time.sleep(1000)
        left()

    @user_errors
    def train():
        with distributed.init_process_group(torch.device("cpu")):
            distributed.any_rank([False])
            if distributed.rank() == failing:
                raise error
            wait()

    def work():
        group.destroy_process_group = leave
        with end_together():
            Program("dilo-train", invoke_without_command=True, callback=train)(
                [], prog_name="dilo-train"
            )

    return work


@pytest.mark.parametrize(
    ("failing", "error", "wait", "statuses"),
    [
        pytest.param(
            1,
            DiloError("no shard 7"),
            lambda: distributed.any_rank([False]),
            (3, 3),
            id="in gloo",
        ),
        pytest.param(
            1, DiloError("no shard 7"), lambda: time.sleep(1000), (3, 3), id="for a device"
        ),
        pytest.param(
            0, ValueError("no shard 7"), lambda: time.sleep(1000), (70, 3), id="rank 0, a bug"
        ),
    ],
)
def test_where_one_rank_fails_the_others_end_soon_with_its_message(
    tmp_path, failing, error, wait, statuses
):
    processes = start_ranks(program(failing, error, wait), tmp_path)
    for process in processes:
        process.join(timeout=60)
    written = [(tmp_path / f"errors-{rank}").read_text() for rank in (0, 1)]
    assert tuple(process.exitcode for process in processes) == statuses, written
    own, others = written[failing], written[1 - failing]
    assert "Error: " in own
    assert "no shard 7" in own
    assert f"Error: another process of this training failed, rank {failing}: no shard 7" in others
