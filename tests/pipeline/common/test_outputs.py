"""Files that are written by name: no other kind's file is lost."""

import os

import pytest
from PIL import Image
from support.cli import invoke
from support.stores import even_images, even_store

from dilo.eval.cli import main as evaluate
from dilo.pipeline.cli import main
from dilo.pipeline.common.outputs import HDF5, JSON, PNG, require_output
from dilo.pipeline.errors import DiloError
from dilo.train.cli import main as train


@pytest.fixture
def data(tmp_path):
    even_images(tmp_path / "images", ["a.png", "b.png"])
    even_store(tmp_path / "masks", {"a.png": 50, "b.png": 90})
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.jpg")
    (tmp_path / "notes.json").write_text("notes")
    return tmp_path


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "new.jpg", "new"])
def test_a_photograph_is_not_replaced_by_a_sheet_and_a_sheet_is_called_png(data, name):
    out = data / name
    before = out.read_bytes() if out.exists() else None
    images = ("--images", data / "images")
    for program, words in (
        (main, ("preview", data / "masks", *images, "--out", out)),
        (train, (*images, "--masks", data / "masks", "--recipe", "moco-v2", "--preview", out)),
        (train, (*images, "--masks", data / "masks", "--recipe", "moco-v2", "--pastes", out)),
        (train, ("plot", data / "images", "--out", out)),
    ):
        said = invoke(program, *words, status=2).stderr
        assert "a PNG file must " in " ".join(said.split())
    assert (out.read_bytes() if out.exists() else None) == before


def test_other_results_do_not_replace_files_of_other_kinds(data):
    weights, images = data / "photo.jpg", data / "images"
    words = ("--checkpoint", weights, "--images", images, "--out", data / "photo.png")
    assert "HDF5 file must be called" in invoke(evaluate, "features", *words, status=2).stderr
    folders = ("--train", images, "--test", images)
    words = ("--checkpoint", weights, *folders, "--out", data / "notes.json")
    said = invoke(evaluate, "knn", *words, status=2).stderr
    assert "JSON file must not replace" in " ".join(said.split())


def test_what_is_of_the_kind_or_empty_or_not_there_may_be_written(data):
    require_output(data / "images" / "a.png", PNG)
    require_output(data / "none.PNG", PNG)
    (data / "empty.json").touch()
    require_output(data / "empty.json", JSON)
    os.mkfifo(data / "pipe.h5")
    with pytest.raises(DiloError, match="must not replace"):
        require_output(data / "pipe.h5", HDF5)
