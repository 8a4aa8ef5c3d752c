"""What a file is that is no checkpoint: said in words, and never how to run what it holds."""

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.foreign import read_foreign
from dilo.train.weights.torchfile import read


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return file.getvalue()


def arrays():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


def script():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02}.")
        archive.writestr("net/constants.pkl", b"\x80\x02}.")
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 94\n"
OTHERS = {
    "empty": (b"", "an empty file: copy it again"),
    "html": (b"\n<!DOCTYPE html><html><body>404", "a page of HTML or XML.*: download it again"),
    "xml": (b"<?xml version='1.0'?><Error>", "a page of HTML or XML.*: download it again"),
    "lfs": (LFS, "a pointer of git-lfs, not the file itself: fetch it with git lfs pull"),
    "json": (b'{"message": "Not Found"}', "text, as JSON is: copy it again"),
    "yaml": (b"arch: resnet50\n", "text that begins with 'arch: resnet50': copy it again"),
    "hostile text": (b"a\x1b]0;b\x07\n", "bytes of another kind: copy it again"),
    "gzip": (b"\x1f\x8b\x08\x00", "a file packed by gzip: unpack it"),
    "tar": (tarred(), "a tar archive: unpack it"),
    "zip": (zipped(**{"README.md": "x"}), "a zip archive of something else.*README.md': unpack"),
    "npz": (arrays(), r"numpy arrays \(\.npz\): give a checkpoint"),
    "script": (script(), "a program of TorchScript: save its weights alone"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "a file of HDF5: give a checkpoint"),
    "pickle": (b"\x80\x04}.", "a pickle that torch.save did not write: copy it again"),
    "safetensors": (
        bytes([9]) + bytes(7) + b'{"a": {}}',
        "a file of safetensors: dilo-eval and --init read those",
    ),
    "noise": (b"\x93\x00\xff\x12" * 99, "bytes of another kind: copy it again"),
}


@pytest.mark.parametrize("reading", [read, read_foreign])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(tmp_path, kind, reading):
    content, words = OTHERS[kind]
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.pt must be a .*, got {words}") as caught:
        reading(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("reading", [read, read_foreign])
def test_a_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path, reading):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", type(tmp_path)("/dev/zero")):
        with pytest.raises(CheckpointError, match="must be a regular file, got a pipe or a device"):
            reading(path)
    with pytest.raises(CheckpointError, match="Is a directory"):
        reading(tmp_path)


@pytest.mark.parametrize("reading", [read, read_foreign])
def test_no_words_of_torch_about_weights_only_are_shown(tmp_path, monkeypatch, reading):
    torch.save({"w": torch.zeros(3)}, tmp_path / "x.pt")
    raw = (tmp_path / "x.pt").read_bytes()
    odd = {
        "an instruction": raw.replace(b"\x80\x02}q\x00", b"\x80\x02]q\x00", 1),
        "cut short": raw[:300],
    }
    for content in odd.values():
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            reading(tmp_path / "x.pt")
        assert "weights_only" not in str(caught.value)
        assert "add_safe_globals" not in str(caught.value)

    def refuse(*ignored, **options):
        raise __import__("pickle").UnpicklingError(
            "Weights only load failed. Re-running `torch.load` with `weights_only` set to `False` "
            "will likely succeed. WeightsUnpickler error: Unsupported operand 42\n\nCheck"
        )

    (tmp_path / "x.pt").write_bytes(raw)
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(CheckpointError, match="UnpicklingError: Unsupported operand 42") as caught:
        reading(tmp_path / "x.pt")
    assert "weights_only" not in str(caught.value)
