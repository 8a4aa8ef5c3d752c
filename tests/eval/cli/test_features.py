"""`dilo-eval features`: a folder into a file, in words and in JSON."""

import json
import re
from pathlib import Path

import h5py
import pytest
import torch
from support.cli import invoke
from support.features import small_checkpoint
from support.folders import write_class_folders

from dilo.eval.cli import main
from dilo.eval.common.inputs import listing
from dilo.eval.features.features import extract_features
from dilo.eval.features.file import open_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.encoder import load_encoder


@pytest.fixture
def data(tmp_path):
    small_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000007.pt")
    write_class_folders(tmp_path / "images", ("ant", "bee"), each=3)
    return tmp_path


def write(data, *more, status=0):
    """Run the command in this process, on the CPU."""
    given = ["--checkpoint", data / "run", "--images", data / "images", "--out", data / "f.h5"]
    return invoke(main, "features", *given, "--device", "cpu", "--workers", 0, *more, status=status)


@pytest.mark.parametrize("layer", ["pooled", "embedding"])
def test_the_file_holds_the_features_of_the_folder(data, layer):
    (data / "images" / "bee" / "2.png").write_bytes(b"no image")
    result = write(data, "--layer", layer, "--json")
    record = json.loads(result.stdout)
    checkpoint = data / "run" / "checkpoints" / "step-00000007.pt"
    expected = extract_features(
        load_encoder(checkpoint, layer=layer), labelled_folder(data / "images")
    )
    found = open_features(data / "f.h5")
    torch.testing.assert_close(found.vectors[:], expected.vectors)
    assert (found.labels.tolist(), found.classes) == ([0, 0, 0, 1, 1], ("ant", "bee"))
    (skipped,) = record.pop("skipped")
    assert skipped["path"] == str(data / "images" / "bee" / "2.png")
    assert set(record.pop("versions")) == {"dilo", "torch", "torchvision", "numpy"}
    assert record.pop("seconds") >= 0
    assert record == {
        "task": "features",
        "checkpoint": str(checkpoint),
        "weights": found.source.weights,
        "step": 7,
        "size": 16,
        "space": "rgb",
        "layer": layer,
        "arch": "resnet18",
        "precision": "fp32",
        "inputs": {"images": listing(labelled_folder(data / "images"))},
        "rows": 5,
        "width": found.vectors.shape[1],
        "classes": 2,
        "out": str(data / "f.h5"),
    }


def test_words_say_what_was_done_and_what_was_there(data):
    first = write(data)
    assert first.stderr.splitlines() == [f"{data / 'images'}: 6 images in 2 classes"]
    assert first.stdout.splitlines() == [f"{data / 'f.h5'}: 6 rows of 128, pooled"]
    again = write(data)
    assert again.stdout == first.stdout
    assert again.stderr.splitlines()[1] == f"{data / 'f.h5'}: all of them are done already"


def test_images_in_no_class_folder_are_taken_as_well(data):
    (data / "images" / "ant" / "0.png").rename(data / "images" / "0.png")
    assert f"{data / 'images'}: 6 images\n" in write(data).stderr
    assert open_features(data / "f.h5").classes == ()


def test_options_reach_the_network(data):
    record = json.loads(write(data, "--size", 24, "--precision", "bf16", "--json").stdout)
    assert (record["size"], record["precision"]) == (24, "bf16")


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        pytest.param(("--out", "nowhere/f.h5"), 2, "its folder must exist", id="no-folder"),
        pytest.param(("--layer", "fc"), 2, "'fc' is not one of", id="layer"),
        pytest.param(("--precision", "fp16"), 3, "needs a GPU, got a CPU", id="precision"),
        pytest.param(("--arch", "resnet50"), 3, "must have all its layers", id="arch"),
    ],
)
def test_what_cannot_be_is_refused_in_words(data, more, status, words):
    result = write(data, *more, status=status)
    assert words in " ".join(result.stderr.split())
    assert not (data / "f.h5").exists()


def test_the_page_on_features_reads_a_file_and_names_all_that_is_in_it(data, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "eval-features.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    write(data, "--out", data / "train.h5")
    monkeypatch.chdir(data)
    found: dict = {}
    exec(compile(code, "eval-features.md", "exec"), found)
    assert (found["features"].shape, found["labels"].tolist()) == ((6, 128), [0, 0, 0, 1, 1, 1])
    assert (found["paths"][3], found["classes"].tolist()) == ("bee/0.png", ["ant", "bee"])
    with h5py.File(data / "train.h5") as file:
        for name in (*file, *file.attrs):
            assert f"`{name}`" in page, name
