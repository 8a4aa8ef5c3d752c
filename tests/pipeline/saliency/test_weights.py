"""The file of weights: found in a run, and told from all others by its bytes."""

import hashlib

import pytest

from dilo.pipeline.errors import DiloError
from dilo.pipeline.saliency.weights import weights_digest, weights_file


def test_a_file_is_itself_and_a_run_its_newest_checkpoint(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for step in (9, 100, 20):
        (tmp_path / "checkpoints" / f"step-{step:08d}.pt").write_bytes(b"")
    newest = tmp_path / "checkpoints" / "step-00000100.pt"
    assert weights_file(tmp_path) == newest
    assert weights_file(newest) == newest


def test_where_there_are_no_weights_it_is_said_what_is_looked_for(tmp_path):
    with pytest.raises(DiloError, match=r"none must be a file of weights, got nothing there"):
        weights_file(tmp_path / "none")
    with pytest.raises(DiloError, match=r"got a folder without checkpoints/step-\*\.pt: give the"):
        weights_file(tmp_path)


def test_a_digest_is_that_of_the_bytes(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"some weights")
    assert weights_digest(file) == hashlib.sha256(b"some weights").hexdigest()
    with pytest.raises(DiloError, match=r"gone.pth: cannot be read: No such file"):
        weights_digest(tmp_path / "gone.pth")
