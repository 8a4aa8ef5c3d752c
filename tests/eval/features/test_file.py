"""A file of features: what any HDF5 tool reads in it, and what is read by slices."""

import dataclasses
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from support.features import SOURCE, chosen_features
from support.rows import RecordingRows

from dilo.eval.features import file as featurefile
from dilo.eval.features.file import JoinedRows, open_features, write_features
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names

ROWS = torch.arange(7 * 3, dtype=torch.float32).reshape(7, 3)
LABELS = [0, 0, 1, 1, 1, 0, 1]


@pytest.fixture
def path(tmp_path):
    write_features(tmp_path / "f.h5", chosen_features(ROWS, LABELS, ("ant", "bée")))
    return tmp_path / "f.h5"


def test_what_is_opened_is_what_was_written(tmp_path):
    odd = Names(["ant/\udcff.png", "ant/a\nb.png", "bée/c\\d.png"])
    written = dataclasses.replace(
        chosen_features(ROWS[:3], [0, 0, 1], ("ant", "bée")),
        paths=odd,
        root=Path("/images of\n\udcffmine"),
        unreadable=(("ant/x.png", "no im\0age: é\udcff"),),
    )
    write_features(tmp_path / "f.h5", written)
    found = open_features(tmp_path / "f.h5")
    assert torch.equal(found.vectors[:], ROWS[:3])
    assert found.vectors[:].dtype == torch.float32
    assert found.labels.tolist() == [0, 0, 1]
    assert found.unreadable == (("ant/x.png", "no image: é?"),)
    for name in ("root", "classes", "paths", "digest", "source"):
        assert getattr(found, name) == getattr(written, name)


def test_any_hdf5_tool_reads_it(path):
    with h5py.File(path) as file:
        assert file["features"].dtype == "<f4"
        assert np.array_equal(file["features"][:], ROWS.numpy())
        assert file["labels"].dtype == "<i8"
        assert file["labels"][:].tolist() == LABELS
        assert file["paths"].asstr()[2] == "bée/2.png"
        assert file["classes"].asstr()[:].tolist() == ["ant", "bée"]
        assert file["unreadable"].shape == (0, 2)
        assert {k: v.decode() if isinstance(v, bytes) else v for k, v in file.attrs.items()} == {
            "format": 1,
            "dilo": file.attrs["dilo"].decode(),
            "folder": "/images",
            "images": chosen_features(ROWS, LABELS, ("ant", "bée")).digest,
            "checkpoint": "c.pt",
            "weights": SOURCE.weights,
            "step": 7,
            "size": 16,
            "space": "rgb",
            "layer": "pooled",
            "arch": "resnet18",
            "precision": "fp32",
        }
    # Superblock 0, which HDF5 1.8 reads.
    assert path.read_bytes()[:9] == b"\x89HDF\r\n\x1a\n\x00"


def test_a_step_that_nobody_knows_stays_unknown(tmp_path):
    source = dataclasses.replace(SOURCE, step=None)
    write_features(tmp_path / "f.h5", chosen_features(ROWS, LABELS, ("a", "b"), source))
    assert open_features(tmp_path / "f.h5").source == source
    with h5py.File(tmp_path / "f.h5") as file:
        assert file.attrs["step"] == -1


def test_features_without_classes_have_none(tmp_path):
    write_features(tmp_path / "f.h5", chosen_features(ROWS, [-1] * 7, ()))
    found = open_features(tmp_path / "f.h5")
    assert found.classes == ()
    assert found.labels.tolist() == [-1] * 7


@pytest.mark.parametrize(
    "rows", [slice(None), slice(2, 5), slice(-2, None), slice(5, 99), slice(4, 4), slice(9, 12)]
)
def test_a_slice_gives_those_rows_as_a_tensor_does(path, rows):
    stored = open_features(path).vectors
    assert stored.shape == (7, 3)
    assert len(stored) == 7
    joined = JoinedRows([ROWS[:2], torch.empty(0, 0), ROWS[2:3], ROWS[3:]])
    assert joined.shape == (7, 3)
    for kind in (stored, pickle.loads(pickle.dumps(stored)), joined):
        assert torch.equal(kind[rows], ROWS[rows])


def test_rows_that_do_not_follow_each_other_are_refused(path):
    with pytest.raises(ValueError, match="must follow each other, got a step of 2"):
        open_features(path).vectors[::2]


def test_rows_are_written_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(featurefile, "CHUNK_BYTES", 2 * 3 * 4)
    rows = RecordingRows(ROWS)
    write_features(
        tmp_path / "f.h5",
        dataclasses.replace(chosen_features(ROWS, LABELS, ("a", "b")), vectors=rows),
    )
    assert rows.asked == [(0, 2), (2, 4), (4, 6), (6, 7)]
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["features"].chunks == (2, 3)
        assert np.array_equal(file["features"][:], ROWS.numpy())


def test_a_file_is_published_whole_or_not_at_all(path):
    class Failing(RecordingRows):
        def __getitem__(self, rows, /):
            raise OSError(28, "No space left on device")

    before = path.read_bytes()
    broken = dataclasses.replace(chosen_features(ROWS, LABELS, ("a", "b")), vectors=Failing(ROWS))
    with pytest.raises(OSError, match="No space left"):
        write_features(path, broken)
    assert path.read_bytes() == before
    assert [*path.parent.iterdir()] == [path]


def test_another_file_is_refused_in_a_sentence(path, tmp_path):
    other = tmp_path / "other.h5"
    other.write_bytes(b"no HDF5")
    with pytest.raises(DiloError, match=r"other\.h5 must be a whole file of features, got: .*"):
        open_features(other)
    with h5py.File(other, "w") as file:
        file["features"] = np.zeros((2, 2))
    with pytest.raises(DiloError, match=r"of features of format 1, got another HDF5 file: make"):
        open_features(other)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    with pytest.raises(DiloError, match=r"of features of format 1, got format 2: make"):
        open_features(path)


@pytest.mark.parametrize("lost", ["labels", "paths", "classes"])
def test_a_file_that_lacks_something_is_refused(path, lost):
    with h5py.File(path, "r+") as file:
        del file[lost]
    with pytest.raises(DiloError, match=r"must be a whole file of features, got: .* make it again"):
        open_features(path)


def test_a_file_of_fewer_labels_than_rows_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file["labels"] = np.zeros(6, np.int64)
    with pytest.raises(DiloError, match="got: 7 rows with 6 labels"):
        open_features(path)


def test_rows_of_a_file_that_is_gone_are_refused_in_a_sentence(path):
    rows = open_features(path).vectors
    path.unlink()
    with pytest.raises(DiloError, match=r"f\.h5 must be a whole file of features"):
        rows[:2]


def changed(path, name, values, **more):
    """Put another dataset in the place of one."""
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=values, **more)
    return path


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("labels", np.array([0, 0, 1, 1, 1, 0, -7]), "got: labels from -7 to 1 with 2 classes"),
        ("labels", np.array([0, 0, 1, 1, 1, 0, 2]), "got: labels from 0 to 2 with 2 classes"),
        ("labels", np.zeros(7), "'labels' must be int64"),
        ("labels", np.zeros((7, 1), np.int64), "'labels' must be int64 of shape"),
        ("features", np.zeros((7, 3)), "'features' must be float32"),
        ("features", np.zeros((7, 3, 2), np.float32), "'features' must be float32 of shape"),
        ("classes", np.array([b"ant", b"ant"]), "got: a class twice among 2"),
        ("classes", np.array([1, 2]), "'classes' must be text"),
        ("unreadable", np.array([[b"a"]]), "'unreadable' must be text of shape"),
    ],
)
def test_types_shapes_and_labels_that_cannot_be_meant_are_refused(path, name, values, words):
    with pytest.raises(DiloError, match=r"must be a whole file of features, got: ") as error:
        open_features(changed(path, name, values))
    assert words in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_give_no_rows(path, value):
    rows = ROWS.numpy().copy()
    rows[5, 1] = value
    found = open_features(changed(path, "features", rows)).vectors
    assert torch.equal(found[:5], ROWS[:5])
    words = r"f\.h5 must hold finite features, got NaN or infinity in rows 4 to 6: make"
    with pytest.raises(DiloError, match=words):
        found[4:]


def test_nothing_of_another_file_is_read_and_no_pipe_is_waited_for(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(84))
    with h5py.File(path, "r+") as file:
        del file["features"]
        file.create_dataset("features", (7, 3), "<f4", external=[(str(secret), 0, 84)])
    with pytest.raises(DiloError, match="must be stored in the file itself"):
        open_features(path)
    with h5py.File(path, "r+") as file:
        del file["features"]
        file["features"] = h5py.SoftLink("/labels")
    with pytest.raises(DiloError, match="got a link that leads away"):
        open_features(path)
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(DiloError, match=r"pipe\.h5 must be .* got: it must be a regular file"):
        open_features(tmp_path / "pipe.h5")


def test_a_file_that_says_to_be_larger_than_it_is_takes_no_memory(path):
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file.create_dataset("labels", (2**40,), "<i8", chunks=(1024,))
    with pytest.raises(DiloError, match="'labels' must be within the file's"):
        open_features(path)
