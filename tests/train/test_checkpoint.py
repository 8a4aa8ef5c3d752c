"""Checkpoints: whole, strict, with a fallback, in the MoCo repository's layout."""

import pickle

import pytest
import torch
from support.runs import small_recipe

from dilo.pipeline.errors import CheckpointError
from dilo.train import checkpoint
from dilo.train.checkpoint import Position
from dilo.train.method import TrainingSet, ViewBatch
from dilo.train.methods.moco import MoCo

RECIPE = small_recipe()
DATA = Position(0, 0, "images", "masks")


def parts(recipe=RECIPE):
    method = MoCo(recipe, TrainingSet(13))
    optimizer = torch.optim.SGD(method.encoder_q.parameters(), lr=0.1, momentum=0.9)
    return method, optimizer


def trained(run, *steps):
    method, optimizer = parts()
    for step in steps:
        views = torch.randn(2, 4, 3, 16, 16)
        method(ViewBatch(views=views.unbind(), samples=torch.arange(4), step=0)).loss.backward()
        optimizer.step()
        checkpoint.save(run, method, optimizer, RECIPE, Position(step, 0, "images", "masks"))
    return method, optimizer


def test_what_is_saved_comes_back(tmp_path):
    method, optimizer = trained(tmp_path, 1, 2)
    again, other = parts()
    position = checkpoint.resume(tmp_path, again, other, RECIPE, DATA, print)
    assert position == Position(2, 0, "images", "masks")
    for name, value in method.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    saved, loaded = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert all(
        torch.equal(saved[i]["momentum_buffer"], loaded[i]["momentum_buffer"]) for i in saved
    )


def test_the_layout_is_the_moco_repositorys(tmp_path):
    trained(tmp_path, 1)
    content = checkpoint.load(checkpoint.checkpoint_path(tmp_path, 1))
    assert {"epoch", "arch", "state_dict", "optimizer"} <= set(content)
    assert content["arch"] == "resnet18"
    assert content["state_dict"]["module.queue"].shape == (8, 12)
    assert "module.encoder_q.layer1.0.conv1.weight" in content["state_dict"]
    assert "module.encoder_k.fc.2.bias" in content["state_dict"]


def test_the_first_and_the_newest_two_are_kept(tmp_path):
    trained(tmp_path, 0, 3, 5, 8)
    assert [step for step, _ in checkpoint.steps(tmp_path)] == [8, 5, 0]


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
    position = checkpoint.resume(tmp_path, *parts(), RECIPE, DATA, said.append)
    assert position.step == 1
    assert "step-00000002.pt must be a whole file" in said[0]
    assert "falling back" in said[0]


def test_where_none_can_be_read_the_run_stops(tmp_path):
    trained(tmp_path, 1)
    checkpoint.checkpoint_path(tmp_path, 1).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of its 1 checkpoints can be read"):
        checkpoint.resume(tmp_path, *parts(), RECIPE, DATA, lambda line: None)


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path, capsys):
    path = tmp_path / "x.pt"
    torch.save({"dilo": {"format": 1}, "state_dict": Payload()}, path)
    with pytest.raises(CheckpointError, match="only tensors and plain values, got a pickled"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError):
        checkpoint.load(path)
    assert "executed" not in capsys.readouterr().out


def test_another_recipe_or_other_data_is_refused_by_name(tmp_path):
    trained(tmp_path, 1)
    changed = small_recipe("optimizer.lr=0.5")
    with pytest.raises(CheckpointError, match=r"optimizer.lr = 0.06, asked for 0.5: .*--out"):
        checkpoint.resume(tmp_path, *parts(changed), changed, DATA, print)
    with pytest.raises(CheckpointError, match="masks = 'masks', asked for 'others'"):
        checkpoint.resume(tmp_path, *parts(), RECIPE, Position(0, 0, "images", "others"), print)


def test_a_newer_format_is_refused(tmp_path):
    torch.save({"dilo": {"format": 2}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="must have format 1, got 2"):
        checkpoint.load(tmp_path / "x.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="must be a checkpoint of dilo-train"):
        checkpoint.load(tmp_path / "x.pt")


def test_a_run_without_checkpoints_begins(tmp_path):
    assert checkpoint.resume(tmp_path, *parts(), RECIPE, DATA, print) is None
