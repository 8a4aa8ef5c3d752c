"""Files of weights are told apart by their bytes, whatever they are called."""

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dilo.pipeline.errors import AccessError, CheckpointError
from dilo.train.weights.formats import read_weights

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def written(path, form, said=None):
    if form == "pickle":
        path.write_bytes(pickle.dumps({k: value.numpy() for k, value in WEIGHTS.items()}))
    elif form == "safetensors":
        save = pytest.importorskip("safetensors.torch").save_file
        save(WEIGHTS, path, metadata=said)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=form == "torch")
    return path


FORMS = ("torch", "old torch", "pickle", "safetensors")


@pytest.mark.parametrize("name", ["x.pth", "x.pkl", "x.safetensors", "x"])
@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_what_its_bytes_say(tmp_path, form, name):
    found = read_weights(written(tmp_path / name, form))
    found = found["state_dict"] if form == "safetensors" else found
    assert all(torch.equal(found[key], value) for key, value in WEIGHTS.items())


@pytest.mark.parametrize("form", FORMS)
def test_half_a_file_is_refused(tmp_path, form):
    path = written(tmp_path / "x", form)
    raw = path.read_bytes()
    for end in (0, 1, 9, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:end])
        with pytest.raises(CheckpointError, match=r"x must be a whole .*: copy it again"):
            read_weights(path)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone must be a file .* got: No such file"):
        read_weights(tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"that can be read, got: Is a directory"):
        read_weights(tmp_path)


def test_what_our_safetensors_say_of_themselves_stands_beside_the_tensors(tmp_path):
    said = {"arch": "resnet18", "dilo": {"step": 3}, "state_dict": "of no effect"}
    found = read_weights(written(tmp_path / "x", "safetensors", {"dilo": json.dumps(said)}))
    assert (found["arch"], found["dilo"]) == ("resnet18", {"step": 3})
    assert isinstance(found["state_dict"]["a"], Tensor)
    assert set(read_weights(written(tmp_path / "y", "safetensors", {"dilo": "[1]"}))) == {
        "state_dict"
    }


def test_words_that_are_no_json_are_refused(tmp_path):
    for said in ("{", "[" * 100_000):
        path = written(tmp_path / "x", "safetensors", {"dilo": said})
        with pytest.raises(CheckpointError, match=r"whole file of safetensors, but reading it"):
            read_weights(path)


def test_without_safetensors_its_files_are_refused_in_words(tmp_path, monkeypatch):
    path = written(tmp_path / "x", "safetensors")
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(CheckpointError, match=r"safetensors: pip install 'dilo\["):
        read_weights(path)


def test_a_pickle_that_calls_is_refused(tmp_path):
    class Call:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    (tmp_path / "x.pth").write_bytes(pickle.dumps({"w": np.ones(1), "bad": Call()}))
    with pytest.raises(CheckpointError, match="which could run code"):
        read_weights(tmp_path / "x.pth")
    assert not (tmp_path / "ran").exists()


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(CheckpointError, match="must be a regular file, got a pipe or a device"):
            read_weights(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>", r"a page of HTML or XML, .*: download it again"),
        (b"version https://git-lfs.github.com/spec/v1", r"a pointer of git-lfs, .*git lfs pull"),
        (b'{"error": 404}', r"text, as JSON is: copy it again"),
    ],
)
def test_a_file_of_something_else_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"got {words}") as caught:
        read_weights(tmp_path / "x.safetensors")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_may_not_be_read_now_is_not_called_damaged(tmp_path, monkeypatch, form):
    path = written(tmp_path / "x", form)

    def refuse(*ignored, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("zipfile.ZipFile", refuse)
    if form == "safetensors":
        monkeypatch.setattr("safetensors.safe_open", refuse)
    with pytest.raises(AccessError, match="Input/output error: the disk does not answer"):
        read_weights(path)


def test_a_header_that_is_longer_than_the_file_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "x").write_bytes((2**26).to_bytes(8, "little") + b'{"a":')
    with pytest.raises(CheckpointError, match=r"whole file of safetensors, but reading it fai"):
        read_weights(tmp_path / "x")
