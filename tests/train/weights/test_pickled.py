"""What a checkpoint asks for is compared with what its file has, before torch does it."""

import io
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.foreign import read_foreign
from dilo.train.weights.pickled import survey
from dilo.train.weights.torchfile import read

both = pytest.mark.parametrize("reading", [read, read_foreign])


def archive(path, instructions, storages=(), packed=False):
    """Write an archive of torch.save with a pickle of our own."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("x/data.pkl", instructions)
        file.writestr("x/byteorder", b"little")
        for key, content in enumerate(storages):
            file.writestr(f"x/data/{key}", content)
        file.writestr("x/version", b"3\n")
    return path


def tensor(count, size, key=b"0", stride=b"K\x01"):
    """Pickle a tensor of `size` numbers on a storage of `count`."""
    reference = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" + key
    reference += b"X\x03\x00\x00\x00cpu" + pickle.dumps(count, 2)[2:-1] + b"tQ"
    sizes = pickle.dumps(size, 2)[2:-1] + b"\x85" + stride + b"\x85"
    rest = b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + b"K\x00" + sizes + rest + b"tR"


def holding(value):
    """Pickle a dictionary with one value."""
    return b"\x80\x02}X\x01\x00\x00\x00w" + value + b"s."


def refused(reading, path, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        reading(path)
    assert len(str(caught.value)) < 600
    return str(caught.value)


@both
def test_a_storage_that_is_larger_than_its_part_of_the_file_is_refused(tmp_path, reading):
    """Else torch would show the memory behind it."""
    sound = archive(tmp_path / "x.pt", holding(tensor(4, 4)), [bytes(16)])
    assert torch.equal(reading(sound)["w"], torch.zeros(4))
    for count in (5, 10**6, 2**62, 2**70):
        path = archive(tmp_path / "y.pt", holding(tensor(count, 4)), [bytes(16)])
        refused(reading, path, r"tensors of \d+ bytes in a part of fewer")
    path = archive(tmp_path / "y.pt", holding(tensor(-1, 4)), [bytes(16)])
    refused(reading, path, "a storage whose size is no count")


@both
def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path, reading):
    small = torch.zeros(()).expand(1000, 1000)
    torch.save({"w": small}, tmp_path / "x.pt")
    assert reading(tmp_path / "x.pt")["w"].shape == small.shape
    torch.save({"w": torch.zeros(()).expand(2**20, 2**20)}, tmp_path / "x.pt")
    refused(reading, tmp_path / "x.pt", "a tensor of 4398046511104 bytes made of 4")


@both
def test_the_older_format_may_not_ask_for_more_numbers_than_it_has(tmp_path, reading):
    torch.save({"w": torch.zeros(2**20)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    raw = (tmp_path / "x.pt").read_bytes()
    assert b"J\x00\x00\x10\x00" in raw
    (tmp_path / "x.pt").write_bytes(raw.replace(b"J\x00\x00\x10\x00", b"J\x00\x00\x00\x7f"))
    refused(reading, tmp_path / "x.pt", "tensors of more bytes than the file has")


@both
def test_members_that_inflate_are_refused(tmp_path, reading):
    path = archive(tmp_path / "x.pt", holding(tensor(2**20, 4)), [bytes(2**22)], packed=True)
    assert path.stat().st_size < 2**15
    refused(reading, path, "members are larger than the file: torch packs none")


@both
@pytest.mark.parametrize(
    "call",
    [
        b"c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R",
        b"ctorch\nFloatTensor\n\x8a\x05\x00\x00\x00\x00\x01\x85R",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nbytearray\nctorch\nTensor\n"
        b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85NtR",
    ],
    ids=["bytearray", "tensor", "through-another"],
)
def test_a_call_that_takes_memory_without_bounds_is_refused(tmp_path, reading, call):
    path = archive(tmp_path / "x.pt", holding(call))
    refused(reading, path, "a call of .*, which takes as much memory as the file says")


@both
@pytest.mark.parametrize("old", [False, True])
def test_values_nested_without_end_are_refused(tmp_path, reading, old):
    deep = b"]" * 200_000 + b"a" * 199_999
    if old:
        torch.save({}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
        raw = (tmp_path / "x.pt").read_bytes()
        parts = raw.split(b"\x80\x02}q\x00.")
        (tmp_path / "x.pt").write_bytes(holding(deep).join(parts))
    else:
        archive(tmp_path / "x.pt", holding(deep))
    refused(reading, tmp_path / "x.pt", "values nested deeper than 100")


@both
def test_few_bytes_that_stand_for_values_without_end_are_refused(tmp_path, reading, monkeypatch):
    monkeypatch.setattr("dilo.train.weights.torchfile._MOST_VALUES", 1000)
    laugh = [0] * 10
    for _ in range(9):
        laugh = [laugh] * 10
    torch.save({"w": laugh}, tmp_path / "x.pt")
    refused(reading, tmp_path / "x.pt", "more than 1000 values")


def test_a_number_of_600_digits_does_not_come(tmp_path):
    torch.save({"epoch": 10**600, "step": 2**63}, tmp_path / "x.pt")
    assert read_foreign(tmp_path / "x.pt") == {"step": 2**63}


def test_a_survey_names_what_a_pickle_names():
    content = pickle.dumps(OrderedDict(a=io.BytesIO), 2)
    assert survey(io.BytesIO(content)).names == {"collections.OrderedDict", "_io.BytesIO"}
    for odd in (b"", b"\x80\x02a.", b"\x80\x02t.", b"\x80\x02K\x01Q.", b"\x80\x02(I1\n."):
        with pytest.raises(ValueError, match=r"."):
            survey(io.BytesIO(odd))
