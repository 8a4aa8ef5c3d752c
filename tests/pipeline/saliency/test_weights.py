"""The file of weights: found in a run, and told from all others by its bytes."""

import errno
import hashlib
import json
import os

import pytest

from dilo.pipeline.errors import AccessError, CheckpointError
from dilo.pipeline.saliency.weights import trained_side, weights_digest, weights_file


def test_a_file_is_itself_and_a_run_its_newest_checkpoint(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for step in (9, 100, 20):
        (tmp_path / "checkpoints" / f"step-{step:08d}.pt").write_bytes(b"")
    newest = tmp_path / "checkpoints" / "step-00000100.pt"
    assert weights_file(tmp_path) == newest
    assert weights_file(newest) == newest


def test_where_there_are_no_weights_it_is_said_what_is_looked_for(tmp_path):
    rule = r"must be a file of weights, or a run with checkpoints/step-\*\.pt"
    with pytest.raises(
        CheckpointError, match=rf"--weights .*none {rule}, got nothing there: check"
    ):
        weights_file(tmp_path / "none")
    with pytest.raises(
        CheckpointError, match=rf"{rule}, got a folder without them: check the path"
    ):
        weights_file(tmp_path)


def test_a_digest_is_that_of_the_bytes(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"some weights")
    assert weights_digest(file) == hashlib.sha256(b"some weights").hexdigest()
    with pytest.raises(CheckpointError, match=r"gone.pth: cannot be read: No such file"):
        weights_digest(tmp_path / "gone.pth")


@pytest.mark.parametrize(
    ("facts", "side"),
    [
        ({"recipe": {"data": {"size": 64}}}, 64),
        ({"recipe": {"data": {"size": "64"}}}, None),
        ({"recipe": {"views": {"size": 64}}}, None),  # a run of pretraining
        ({"recipe": 3}, None),
        ([], None),
    ],
)
def test_a_run_for_saliency_says_at_which_side_it_was_trained(tmp_path, facts, side):
    (tmp_path / "run.json").write_text(json.dumps(facts))
    assert trained_side(tmp_path) == side
    assert trained_side(tmp_path / "run.json") is None
    (tmp_path / "run.json").write_text("{")
    assert trained_side(tmp_path) is None


@pytest.mark.parametrize("side", ["10", -7, 10**18, True, 2.5])
def test_a_side_that_no_mask_has_is_none(tmp_path, side):
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"data": {"size": side}}}))
    assert trained_side(tmp_path) is None


def test_a_pipe_is_no_file_of_weights_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"got a pipe or a device: check the path"):
        weights_file(tmp_path / "pipe")
    os.mkfifo(tmp_path / "run.json")
    assert trained_side(tmp_path) is None


def test_weights_that_the_system_does_not_give_are_not_called_missing(tmp_path, monkeypatch):
    def refuse(*ignored):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AccessError, match="Permission denied: this user has no right"):
        weights_digest(tmp_path / "x.pth")
