"""Pickles of numpy arrays: what numpy of any version wrote comes, and nothing is ever called."""

import builtins
import collections
import os
import pickle
import time

import numpy as np
import pytest
import torch

from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.pickled_arrays import read_arrays


def content():
    rng = np.random.default_rng(0)
    return {
        "model": {
            "conv": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
            "columns": np.asfortranarray(rng.normal(size=(3, 5))),
            "half": rng.normal(size=7).astype(np.float16),
            "count": np.array(12),
            "bytes": np.arange(300, dtype=np.uint8)[::3],
            "empty": np.zeros((0, 3), np.float32),
            "big": np.arange(5, dtype=">i4"),
            "flags": np.array([True, False]),
        },
        "__author__": "dilo",
        "matching_heuristics": True,
        "epoch": np.float32(1.5),
        "nothing": None,
        "list": [1, "a", (2, 3.5)],
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("core", ["numpy._core", "numpy.core"])
def test_arrays_of_every_protocol_and_numpy_come_as_they_were(tmp_path, protocol, core):
    raw = pickle.dumps(content(), protocol=protocol)
    if protocol < 4:  # names stand in lines, so that they may have any length
        raw = raw.replace(b"numpy._core", core.encode())
    (tmp_path / "x.pkl").write_bytes(raw)
    found = read_arrays(tmp_path / "x.pkl")
    for name, value in content()["model"].items():
        assert found["model"][name].numpy().dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found["model"][name].numpy(), value)
    del found["model"]
    assert found == {"__author__": "dilo", "matching_heuristics": True, "epoch": 1.5}


def test_an_ordered_dictionary_without_a_frame_comes(tmp_path):
    values = collections.OrderedDict(a=np.ones(3), b=np.zeros(2))
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(values, protocol=4))
    found = read_arrays(tmp_path / "x.pkl")
    assert torch.equal(found["a"], torch.ones(3, dtype=torch.float64))


class Call:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (os.system, "touch {marker}"),
        (builtins.eval, "open('{marker}', 'w')"),
        (builtins.exec, "open('{marker}', 'w')"),
        (builtins.getattr, "{marker}"),
        (open, "{marker}"),
        (np.load, "{marker}"),
        (np.fromfile, "{marker}"),
    ],
)
def test_no_call_in_a_file_is_made(tmp_path, function, argument, protocol):
    call = Call(function, argument.replace("{marker}", str(tmp_path / "ran")))
    raw = pickle.dumps({"model": {"w": np.ones(3)}, "bad": call}, protocol=protocol)
    (tmp_path / "x.pkl").write_bytes(raw)
    words = rf"got '[\w.]*{function.__name__}', which could run code: where you trust"
    with pytest.raises(CheckpointError, match=words):
        read_arrays(tmp_path / "x.pkl")
    assert not (tmp_path / "ran").exists()


def instructions(*parts):
    """Assemble a pickle by hand, which the library would not write."""
    return b"\x80\x04" + b"".join(parts) + b"."


def text(word):
    return b"\x8c" + bytes([len(word)]) + word.encode()


def named(module, name):
    return text(module) + text(name) + b"\x93"


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


KIND = named("numpy", "dtype") + text("f4") + b"\x85R"
EMPTY = named("numpy.core.multiarray", "_reconstruct") + b")R"
BYTES = b"C\x08" + bytes(8)


def array(kind=KIND, shape=b"K\x02\x85", raw=BYTES):
    return EMPTY + b"(K\x01" + shape + kind + b"\x89" + raw + b"tb"


def holding(*parts):
    """Put what the instructions make into a dictionary."""
    return instructions(b"}", text("a"), *parts, b"s")


def test_a_pickle_assembled_by_hand_is_an_array(tmp_path):
    (tmp_path / "x.pkl").write_bytes(holding(array()))
    assert torch.equal(read_arrays(tmp_path / "x.pkl")["a"], torch.zeros(2))


#: A tuple of two tuples that are one, which is of two that are one, sixty times.
DEEP = b")" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(holding(array(shape=b"K\x03\x85")), r"\(3,\) and type f4 in 8", id="short"),
        pytest.param(holding(array(shape=b"K\x01\x85")), r"\(1,\) and type f4 in 8", id="long"),
        pytest.param(
            holding(array(shape=number(-1) + number(-2) + b"\x86")),
            "no tuple of counts",
            id="signs",
        ),
        pytest.param(holding(array(shape=text("2"))), "no tuple of counts", id="shape-of-text"),
        pytest.param(holding(array(shape=b"\x88\x85")), "no tuple of counts", id="shape-of-truth"),
        pytest.param(holding(array(shape=b"(" + b"K\x01" * 9 + b"t")), "of counts", id="sides"),
        pytest.param(holding(array(shape=DEEP)), "no tuple of counts", id="shape-without-end"),
        pytest.param(holding(array(raw=text("8 letters"))), "not made of bytes", id="text"),
        pytest.param(holding(array(kind=text("f4"))), "not made of bytes", id="kind-of-text"),
        pytest.param(holding(EMPTY), "an array without values, 'a'", id="never-filled"),
        pytest.param(
            holding(array(kind=KIND.replace(b"f4", b"O8"))),
            "elements of the type 'O8'",
            id="objects",
        ),
        pytest.param(
            holding(KIND.replace(text("f4"), DEEP)), "elements of the type ''", id="deep-type"
        ),
        pytest.param(holding(b"(ios\nsystem\n"), "'os.system', which could run code", id="inst"),
        pytest.param(holding(named("numpy", "ndarray"), b")R"), "call of numpy.nd", id="ndarray"),
        pytest.param(instructions(b"]"), "got a list of them", id="no-dictionary"),
        pytest.param(
            holding(named("_codecs", "encode"), text("x"), text("rot13"), b"\x86R"),
            "another encoding than latin1",
            id="codec",
        ),
    ],
)
def test_what_no_file_of_arrays_needs_is_refused_in_words(tmp_path, raw, words):
    (tmp_path / "x.pkl").write_bytes(raw)
    started = time.monotonic()
    with pytest.raises(CheckpointError, match=words) as caught:
        read_arrays(tmp_path / "x.pkl")
    assert "x.pkl must be a pickled dictionary of numpy arrays" in str(caught.value)
    assert "save its weights alone again" in str(caught.value)
    assert time.monotonic() - started < 60  # and not never


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(holding(text("x"), b"Q"), id="persistent"),
        pytest.param(holding(b"Pid\n"), id="persistent-text"),
        pytest.param(holding(b"\x82\x01"), id="extension"),
        pytest.param(holding(named("numpy", "ndarray"), b")\x81"), id="new"),
        pytest.param(holding(text("print"), b")R"), id="no-name"),
        pytest.param(holding(b"]K\x01b"), id="build"),
        pytest.param(holding(b"}K\x01a"), id="append"),
        pytest.param(holding(DEEP, text("x"), b"\x93"), id="deep-name"),
    ],
)
def test_what_no_pickle_of_arrays_does_is_refused(tmp_path, raw):
    (tmp_path / "x.pkl").write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"x\.pkl must be a whole pickle of numpy arrays"):
        read_arrays(tmp_path / "x.pkl")


def test_more_values_than_bytes_are_refused_however_often_a_file_repeats_them(tmp_path):
    once = pickle.dumps({"w": np.ones(4000, np.float32)}, protocol=4)
    repeated = [b"}", text("raw"), b"B\x80\x3e\x00\x00" + bytes(16000), b"\x94s"]
    for i in range(3):
        repeated += [text(f"a{i}"), array(shape=b"M\xa0\x0f\x85", raw=b"h\x00"), b"s"]
    (tmp_path / "once.pkl").write_bytes(once)
    (tmp_path / "often.pkl").write_bytes(instructions(*repeated))
    assert read_arrays(tmp_path / "once.pkl")["w"].shape == (4000,)
    with pytest.raises(CheckpointError, match="more values than the file has bytes"):
        read_arrays(tmp_path / "often.pkl")


def test_a_memo_of_any_number_takes_no_room(tmp_path):
    (tmp_path / "x.pkl").write_bytes(instructions(b"}r\xff\xff\xff\xff"))
    with pytest.raises(CheckpointError, match="the place 4294967295 of a memo"):
        read_arrays(tmp_path / "x.pkl")


def test_what_stands_for_a_function_is_not_changed_by_a_file(tmp_path):
    encode = named("_codecs", "encode")
    state = b"N}" + text("__defaults__") + text("rot13") + b"\x85s\x86b"
    (tmp_path / "x.pkl").write_bytes(holding(encode, state))
    with pytest.raises(CheckpointError):
        read_arrays(tmp_path / "x.pkl")
    (tmp_path / "y.pkl").write_bytes(pickle.dumps({"w": np.ones(3)}, protocol=2))
    assert torch.equal(read_arrays(tmp_path / "y.pkl")["w"], torch.ones(3, dtype=torch.float64))


def test_records_and_lists_of_python_2_are_refused(tmp_path):
    records = np.zeros(2, [("a", "f4"), ("b", "i4")])
    for value, words in ((records, "type 'V8'"), (np.array([{}]), "type 'O8'")):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps({"w": value}))
        with pytest.raises(CheckpointError, match=words):
            read_arrays(tmp_path / "x.pkl")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    values = {"model": {"w": np.ones(3, np.float32), "v": np.arange(2)}}
    whole = pickle.dumps(values, protocol=4)
    for end in range(2, len(whole)):
        (tmp_path / "x.pkl").write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"whole pickle|pickled dictionary"):
            read_arrays(tmp_path / "x.pkl")


def test_a_file_with_any_byte_changed_gives_arrays_or_is_refused(tmp_path):
    whole = pickle.dumps({"model": {"w": np.ones(4, np.float32)}}, protocol=2)
    rng = np.random.default_rng(0)
    for place in range(2, len(whole)):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        (tmp_path / "x.pkl").write_bytes(changed)
        try:
            found = read_arrays(tmp_path / "x.pkl")
        except CheckpointError:
            continue
        assert all(
            isinstance(value, dict | str | int | float | torch.Tensor) for value in found.values()
        )


def test_a_number_of_600_digits_does_not_come_and_no_shape_has_one(tmp_path):
    written = {"w": np.zeros(2), "epoch": 10**600, "step": 7}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(written))
    found = read_arrays(tmp_path / "x.pkl")
    assert {name: value for name, value in found.items() if name != "w"} == {"step": 7}
    raw = pickle.dumps(np.zeros(0, np.float32), 2)
    huge = pickle.dumps(10**600, 2)[2:-1]
    (tmp_path / "x.pkl").write_bytes(
        b"\x80\x02}X\x01\x00\x00\x00w" + raw[2:-1].replace(b"K\x00\x85", huge + b"\x85") + b"s."
    )
    with pytest.raises(CheckpointError, match="whose shape is no tuple of counts"):
        read_arrays(tmp_path / "x.pkl")


def test_lists_nested_without_end_are_followed_and_skipped(tmp_path):
    deep = b"]" * 200_000 + b"a" * 199_999
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02}X\x01\x00\x00\x00w" + deep + b"s.")
    assert read_arrays(tmp_path / "x.pkl") == {}
