"""`dilo-eval gradients`: a figure, a record, and what is refused."""

import json

import pytest
from support.classifiers import write_classifier
from support.cli import invoke
from support.folders import write_class_folders

from dilo.eval.cli import main
from dilo.pipeline.images import decode

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def data(tmp_path):
    """Write a classifier in a run, another one, and six images."""
    write_classifier(tmp_path / "run" / "eval" / "linear" / "classifier.pth", CLASSES)
    (tmp_path / "run" / "checkpoints").mkdir()
    write_classifier(tmp_path / "other.pth", CLASSES, seed=1)
    write_class_folders(tmp_path / "images", CLASSES, each=2)
    return tmp_path


def show(data, *more, status=0, classifiers=("run",), images="images"):
    given = [word for name in classifiers for word in ("--checkpoint", data / name)]
    given += ["--images", data / images, "--device", "cpu"]
    return invoke(main, "gradients", *given, *more, status=status)


def test_a_runs_gradients_are_laid_into_the_run(data):
    result = show(data, "--json", "--count", 3)
    folder = data / "run" / "eval" / "gradients"
    assert (folder / "gradients.json").read_text() == result.stdout
    record = json.loads(result.stdout)
    assert record["checkpoint"] == str(data / "run" / "eval" / "linear" / "classifier.pth")
    assert (record["methods"], record["class"]) == (["gradient", "cam"], "true")
    assert record["classifiers"][0]["name"] == "run"
    assert len(record["shown"]) == 3
    assert record["skipped"] == []
    assert {"seconds", "versions"} <= record.keys()
    assert decode(folder / "gradients.png").shape[1] > 400


def test_two_classifiers_stand_side_by_side(data):
    both = ("run", "other.pth")
    out = data / "out"
    show(data, "--query", "bee/1.png", "--class", "true", "--out", out, classifiers=both)
    record = json.loads((out / "gradients.json").read_text())
    (shown,) = record["shown"]
    assert (shown["path"], shown["class"]) == ("bee/1.png", "bee")
    assert [(one["name"], one["class"]) for one in shown["classifiers"]] == [
        ("run", "bee"),
        ("other", "bee"),
    ]
    one = show(data, "--query", "bee/1.png", "--method", "cam", "--out", data / "one", "--json")
    assert json.loads(one.stdout)["methods"] == ["cam"]
    narrow, wide = (decode(data / name / "gradients.png").shape[1] for name in ("one", "out"))
    assert narrow < wide


def test_unreadable_images_are_skipped_and_reported(data):
    for name in ("ant/0.png", "cat/1.png"):
        (data / "images" / name).write_bytes(b"no image")
    result = show(data, "--json", "--count", 99)
    record = json.loads(result.stdout)
    assert len(record["shown"]) == 4
    assert sorted(one["path"] for one in record["skipped"]) == [
        str(data / "images" / name) for name in ("ant/0.png", "cat/1.png")
    ]
    assert "2 of the images could not be read" in result.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--out", "{images}"), "outside the folders that are read", id="out"),
        pytest.param(("--method", "lime"), "'lime' is not one of", id="method"),
    ],
)
def test_a_wrong_option_exits_with_2_and_writes_nothing(data, more, words):
    places = {"images": data / "images"}
    result = show(data, *(word.format(**places) for word in more), status=2)
    assert words.format(**places).replace(" ", "") in "".join(result.stderr.split())
    assert not (data / "run" / "eval" / "gradients").exists()


def test_an_image_that_is_not_there_exits_with_3(data):
    result = show(data, "--query", "x.png", status=3)
    assert f"--query must be an image in {data / 'images'}, got x.png" in result.stderr


def test_the_true_class_of_images_without_class_exits_with_3(data):
    result = show(data, "--class", "true", images="images/ant", status=3)
    assert "give --class predicted" in result.stderr
