"""Going on: with what was saved, from the newest that is whole, never with anything else."""

import pytest
import torch
from support.learners import RECIPE, learner, trained
from support.runs import small_recipe

from dilo.pipeline.errors import CheckpointError
from dilo.train import checkpoint
from dilo.train.checkpoint import Position
from dilo.train.resuming import resume

DATA = Position(0, 0, "images", "masks")


def test_what_is_saved_comes_back(tmp_path):
    before, again = trained(tmp_path, 1, 2), learner()
    position = resume(tmp_path, again, RECIPE, DATA, print)
    assert position == Position(2, 0, "images", "masks")
    for name, value in before.method.state_dict().items():
        assert torch.equal(again.method.state_dict()[name], value), name
    saved, loaded = before.optimizer.state_dict()["state"], again.optimizer.state_dict()["state"]
    assert all(
        torch.equal(saved[i]["momentum_buffer"], loaded[i]["momentum_buffer"]) for i in saved
    )


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99, flip]
)
def test_a_damaged_checkpoint_falls_back_and_says_so(tmp_path, damage):
    trained(tmp_path, 1, 2)
    newest = checkpoint.checkpoint_path(tmp_path, 2)
    newest.write_bytes(damage(newest.read_bytes()))
    said = []
    position = resume(tmp_path, learner(), RECIPE, DATA, said.append)
    assert position.step == 1
    assert "step-00000002.pt must be a whole file" in said[0]
    assert "falling back" in said[0]


def test_where_none_can_be_read_the_run_stops(tmp_path):
    trained(tmp_path, 1)
    checkpoint.checkpoint_path(tmp_path, 1).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of its 1 checkpoints can be read"):
        resume(tmp_path, learner(), RECIPE, DATA, lambda line: None)


def test_another_recipe_or_other_data_is_refused_by_name(tmp_path):
    trained(tmp_path, 1)
    changed = small_recipe("optimizer.lr=0.5")
    with pytest.raises(CheckpointError, match=r"optimizer.lr = 0.06, asked for 0.5: .*--out"):
        resume(tmp_path, learner(changed), changed, DATA, print)
    with pytest.raises(CheckpointError, match="masks = 'masks', asked for 'others'"):
        resume(tmp_path, learner(), RECIPE, Position(0, 0, "images", "others"), print)


def test_a_run_without_checkpoints_begins(tmp_path):
    assert resume(tmp_path, learner(), RECIPE, DATA, print) is None


def test_whether_to_go_on_can_be_said(tmp_path):
    with pytest.raises(CheckpointError, match="--resume must needs a checkpoint to go on from"):
        resume(tmp_path, learner(), RECIPE, DATA, print, "must")
    assert resume(tmp_path, learner(), RECIPE, DATA, print, "never") is None
    trained(tmp_path, 1)
    assert resume(tmp_path, learner(), RECIPE, DATA, print, "must").step == 1
    with pytest.raises(CheckpointError, match=r"--resume never .* got .*step-00000001.pt: give an"):
        resume(tmp_path, learner(), RECIPE, DATA, print, "never")
