"""Checkpoints: whole, strict, with a fallback, in the MoCo repository's layout."""

import errno
import pickle

import pytest
import torch
from support.learners import trained

from dilo.pipeline.errors import CheckpointError
from dilo.train.engine import checkpoint


def test_the_layout_is_the_moco_repositorys(tmp_path):
    trained(tmp_path, 1)
    content = checkpoint.load(checkpoint.checkpoint_path(tmp_path, 1))
    assert {"epoch", "arch", "state_dict", "optimizer"} <= set(content)
    assert content["arch"] == "resnet18"
    assert content["state_dict"]["module.queue"].shape == (8, 12)
    assert "module.encoder_q.layer1.0.conv1.weight" in content["state_dict"]
    assert "module.encoder_k.fc.2.bias" in content["state_dict"]


@pytest.mark.parametrize(("every", "kept"), [(0, [8, 5, 0]), (3, [8, 5, 3, 0]), (4, [8, 5, 0])])
def test_the_first_the_newest_two_and_each_kth_are_kept(tmp_path, every, kept):
    trained(tmp_path, 0, 1, 3, 5, 8, keep_every=every)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == kept


def test_a_checkpoint_of_a_later_step_is_never_removed_nor_put_in_the_place_of_the_new(tmp_path):
    trained(tmp_path, 6, 9, 4)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [9, 6, 4]


def test_a_checkpoint_that_is_gone_is_not_said_to_be_written(tmp_path, monkeypatch):
    plain = checkpoint.save_torch_file

    def tidied(path, *more):
        plain(path, *more)
        path.unlink()

    monkeypatch.setattr(checkpoint, "save_torch_file", tidied)
    with pytest.raises(CheckpointError, match=r"step-00000001.pt must be there, .* but it is gone"):
        trained(tmp_path, 1)


def test_a_folder_that_may_not_be_written_is_said_with_its_own_remedy(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(
        CheckpointError, match=r"Permission denied: .*chmod: the checkpoints before"
    ):
        trained(tmp_path, 1)


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


def test_a_newer_format_is_refused(tmp_path):
    torch.save({"dilo": {"format": 2}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="must have format 1, got 2"):
        checkpoint.load(tmp_path / "x.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="must be a checkpoint of dilo-train"):
        checkpoint.load(tmp_path / "x.pt")


def _first_momentum(content):
    return content["optimizer"]["state"][0]


ODD = {
    "step -7": lambda c: c["dilo"].update(step=-7),
    "step 2**70": lambda c: c["dilo"].update(step=2**70),
    "epoch of text": lambda c: c["dilo"].update(epoch="2"),
    "no state": lambda c: c.pop("state_dict"),
    "a list for the state": lambda c: c.update(state_dict=[1]),
    "text for a weight": lambda c: c["state_dict"].update({"module.queue": "x"}),
    "a scalar for a convolution": lambda c: c["state_dict"].update(
        {"module.encoder_q.conv1.weight": torch.tensor(1.0)}
    ),
    "a name that is no text": lambda c: c["state_dict"].update({7: torch.zeros(1)}),
    "an unknown weight": lambda c: c["state_dict"].update({"module.more": torch.zeros(1)}),
    "no optimiser": lambda c: c.pop("optimizer"),
    "an optimiser of text": lambda c: c.update(optimizer="sgd"),
    "no groups": lambda c: c["optimizer"].update(param_groups=[]),
    "a group of text": lambda c: c["optimizer"].update(param_groups=["x"]),
    "a rate of text": lambda c: c["optimizer"]["param_groups"][0].update(lr="fast"),
    "a momentum of another shape": lambda c: _first_momentum(c).update(
        momentum_buffer=torch.zeros(3)
    ),
    "a momentum of text": lambda c: _first_momentum(c).update(momentum_buffer="x"),
    "no scaler": lambda c: c.pop("scaler"),
    "a scaler of numbers": lambda c: c.update(scaler=3),
}


@pytest.mark.parametrize("odd", ODD)
def test_values_that_no_training_wrote_are_refused_in_a_sentence(tmp_path, odd):
    kept = trained(tmp_path, 1)
    content = checkpoint.load(checkpoint.checkpoint_path(tmp_path, 1))
    ODD[odd](content)
    with pytest.raises(
        CheckpointError, match=r"the checkpoint to resume from must hold .*, got|fai"
    ):
        kept.restore(content)
