"""Files of other programs: their tensors come, their code never runs."""

import argparse
import contextlib
import errno
import io
import os
import pickle
import re
import zipfile

import pytest
import torch
from torch import nn

from dilo.pipeline.errors import AccessError, CheckpointError
from dilo.train.weights.foreign import read_foreign
from dilo.train.weights.torchfile import read


class Call:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class WithState:
    """Pickles as an object that is given a state."""

    def __init__(self, state):
        self.__dict__.update(state)


def saved(path, content, old_format):
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    return path


formats = pytest.mark.parametrize("old_format", [False, True])


@formats
@pytest.mark.parametrize(
    "foreign", [argparse.Namespace(lr=0.03), nn.Linear(2, 2), WithState({"a": 1})]
)
def test_tensors_beside_objects_of_other_programs_come_and_the_objects_do_not(
    tmp_path, foreign, old_format
):
    content = {"state_dict": {"w": torch.arange(3.0)}, "epoch": 5, "opt": foreign, "n": [foreign]}
    path = saved(tmp_path / "x.pt", content, old_format)
    found = read_foreign(path)
    assert found["epoch"] == 5
    assert torch.equal(found["state_dict"]["w"], torch.arange(3.0))
    assert "opt" not in found
    with pytest.raises(CheckpointError, match="which could run code"):
        read(path)


@formats
@pytest.mark.parametrize("function", [print, eval, exec, __import__, open, getattr])
def test_no_call_in_a_file_is_made(tmp_path, capsys, function, old_format):
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    arguments = {"open": (str(marker), "w"), "getattr": (marker, "touch")}
    call = Call(function, *arguments.get(function.__name__, (code,)))
    path = saved(tmp_path / "x.pt", {"state_dict": {"w": torch.zeros(1)}, "bad": call}, old_format)
    with contextlib.suppress(CheckpointError):  # some names torch refuses, whatever they stand for
        assert "bad" not in read_foreign(path)
    assert not marker.exists()
    assert code not in capsys.readouterr().out


def test_a_damaged_archive_is_refused(tmp_path):
    path = saved(tmp_path / "x.pt", {"w": torch.zeros(99)}, False)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(raw))) as archive:
        member = next(i for i in archive.infolist() if i.filename.endswith("data/0"))
    raw[member.header_offset + 200] ^= 1
    path.write_bytes(raw)
    for reading in (read, read_foreign):
        with pytest.raises(CheckpointError, match="copy it again"):
            reading(path)


def test_a_bare_pickle_is_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(pickle.dumps(Call(print, "ran")))
    for reading in (read, read_foreign):
        with pytest.raises(CheckpointError):
            reading(tmp_path / "x.pt")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_a_file_that_the_system_does_not_give_is_not_called_damaged(tmp_path, monkeypatch, number):
    path = saved(tmp_path / "x.pt", {"w": torch.zeros(1)}, False)

    def refuse(*ignored, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(torch, "load", refuse)
    for reading in (read, read_foreign):
        with pytest.raises(AccessError, match=re.escape(os.strerror(number))) as caught:
            reading(path)
        assert caught.value.errno == number


def test_a_class_that_is_kept_with_its_source_is_refused_by_its_own_name(tmp_path):
    path = saved(tmp_path / "x.pt", {"w": torch.zeros(1), "n": nn.Linear(2, 2)}, True)
    with pytest.raises(CheckpointError, match=r"got a pickled torch\.nn\.modules\.linear\.Linear"):
        read(path)
