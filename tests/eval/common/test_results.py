"""Where results go: none replaces one of other images or settings, nor what is no result."""

import json
import os
from itertools import islice

import pytest

from dilo.eval.common.inputs import inputs_of
from dilo.eval.common.results import (
    beside,
    require_ours,
    require_record,
    result_folder,
    settled_file,
    settled_folder,
    write_result,
)
from dilo.pipeline.errors import DiloError


def record(test="/data/cub/val", step=7, **more):
    """Make a record of kNN; images of another folder have another digest."""
    inputs = {
        "train": {"folder": "/train", "digest": "a"},
        "test": {"folder": test, "digest": test},
    }
    return {
        "task": "knn",
        "checkpoint": f"/run/checkpoints/step-{step}.pt",
        "step": step,
        "size": 64,
        "results": [{"k": 20, "top1": 50.0 + step}],
        "inputs": inputs,
        **more,
    }


def put(folder, found, *, of_run=True):
    """Write a record where it may go; give its folder, and what was said."""
    said = []
    settled = settled_folder(folder, found, said.append, of_run=of_run)
    write_result(settled, found)
    return settled, said


@pytest.mark.parametrize("of_run", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        {"test": "/another/cub/test"},
        {"test": "/another", "name": "mine"},
        {"size": 32},
        {"protocol": "moco"},
        {"results": [{"k": 5, "top1": 1.0}]},
        {
            "inputs": {
                "train": {"folder": "/train", "digest": "a"},
                "test": {"folder": "cub", "digest": "c"},
            }
        },
    ],
)
def test_a_result_of_other_images_or_settings_goes_beside_and_both_stay(tmp_path, other, of_run):
    folder = tmp_path / "eval" / "knn"
    assert put(folder, record(), of_run=of_run) == (folder, [])
    second, said = put(folder, record(**other), of_run=of_run)
    assert second == tmp_path / "eval" / f"knn-{other.get('name', 'cub')}"
    assert said == [
        f"{folder} holds a result of other images or settings, which is kept: this one "
        f"goes to {second}"
    ]
    assert json.loads((folder / "knn.json").read_text()) == record()
    assert json.loads((second / "knn.json").read_text()) == record(**other)
    third, _ = put(folder, record(test="/a third/cub/images"), of_run=of_run)
    assert third.name == ("knn-cub" if "name" in other else "knn-cub-2")


def test_a_result_of_the_same_images_and_settings_takes_the_place_of_the_first(tmp_path):
    folder = tmp_path / "knn"
    for other in ({}, {"test": "/another"}, {}, {"test": "/another"}):
        put(folder, record(**other, seconds=1.0))
    assert {path.name for path in tmp_path.iterdir()} == {"knn", "knn-another"}


def test_images_that_were_moved_are_the_same_images(tmp_path):
    moved = record()
    for folder in (tmp_path / "knn", tmp_path / "knn"):
        assert put(folder, moved)[0] == tmp_path / "knn"
        moved["inputs"]["test"] = moved["inputs"]["test"] | {"folder": "/scratch/val"}


def test_below_a_run_a_later_step_takes_the_place_of_an_earlier_one(tmp_path):
    put(tmp_path / "knn", record(step=7))
    assert put(tmp_path / "knn", record(step=9))[0] == tmp_path / "knn"


def test_in_a_folder_that_the_user_named_another_checkpoint_is_another_input(tmp_path):
    put(tmp_path / "out", record(step=7), of_run=False)
    assert put(tmp_path / "out", record(step=9), of_run=False)[0] == tmp_path / "out-cub"


def test_another_classifier_of_one_run_is_another_input():
    first, second = (
        inputs_of({"task": "gradients", "checkpoint": path, "inputs": {}}, of_run=True)
        for path in ("/run/eval/linear/classifier.pth", "/run/eval/linear-2/classifier.pth")
    )
    assert first != second


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"task": "knn"}', json.dumps({"task": "knn", "train": "/train", "test": "/val"})],
)
def test_what_does_not_say_which_images_it_is_of_is_never_replaced(tmp_path, content):
    (tmp_path / "knn").mkdir()
    (tmp_path / "knn" / "knn.json").write_text(content)
    assert put(tmp_path / "knn", record())[0] == tmp_path / "knn-cub"
    assert (tmp_path / "knn" / "knn.json").read_text() == content


def test_of_two_commands_at_once_each_has_a_folder_of_its_own(tmp_path):
    said = []
    first = settled_folder(tmp_path / "knn", record(), said.append, of_run=True)
    second = settled_folder(tmp_path / "knn", record("/b"), said.append, of_run=True)
    assert (first.name, second.name) == ("knn", "knn-b")


def test_an_empty_folder_that_is_left_over_is_taken(tmp_path):
    (tmp_path / "knn").mkdir()
    os.utime(tmp_path / "knn", (0, 0))
    assert put(tmp_path / "knn", record())[0] == tmp_path / "knn"
    (tmp_path / "mine").mkdir()
    assert put(tmp_path / "mine", record(), of_run=False)[0] == tmp_path / "mine"


@pytest.mark.parametrize("name", ["holiday.jpg", "gradients.json"])
def test_a_folder_that_holds_something_else_is_refused_before_any_work(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    words = rf"--out {tmp_path / 'out'} must be empty, or hold what .* got {name} and no knn\.json"
    with pytest.raises(DiloError, match=words):
        require_ours(tmp_path / "out", "knn")
    (tmp_path / "out" / "knn.json").write_text("{}")
    for fine in (tmp_path / "out", tmp_path / "new", None):
        require_ours(fine, "knn")


def test_what_lies_below_eval_of_a_run_is_of_that_run(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    expected = tmp_path / "run" / "eval" / "localize"
    for inside in ("", "eval/linear-2", "eval/linear-2/classifier.pth"):
        assert result_folder("localize", None, tmp_path / "run" / inside) == expected
    for other in (tmp_path, tmp_path / "run" / "checkpoints" / "average.pt"):
        with pytest.raises(DiloError, match="--out must say where the result goes"):
            result_folder("localize", None, other)


def test_a_result_of_an_earlier_step_goes_beside_those_of_the_newest(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for step in (0, 7, 100):
        (run / "checkpoints" / f"step-{step:08d}.pt").touch()
    folders = {
        "checkpoints/step-00000000.pt": "knn-step-0",
        "checkpoints/step-00000007.pt": "knn-step-7",
        "checkpoints/step-00000100.pt": "knn",
        "eval/linear-step-0-cub/classifier.pth": "knn-step-0",
    }
    for checkpoint, folder in folders.items():
        assert result_folder("knn", None, run / checkpoint) == run / "eval" / folder


def test_a_file_that_the_user_named_is_not_written_over_with_other_inputs(tmp_path):
    path, said = tmp_path / "a.json", []
    assert settled_file(path, record(), said.append) == path
    path.write_text(json.dumps(record()))
    assert settled_file(path, record(seconds=9.0), said.append) == path
    assert settled_file(path, record("/another"), said.append) == tmp_path / "a-another.json"
    assert said[0].endswith(f"this one goes to {tmp_path / 'a-another.json'}")
    require_record("--out", path, "knn")
    require_record("--out", tmp_path / "fresh.json", "knn")
    path.write_text("a letter")
    with pytest.raises(DiloError, match=r"a\.json must be a new file, or a record of dilo-eval"):
        require_record("--out", path, "knn")


def test_numbers_stand_before_the_extension(tmp_path):
    names = [path.name for path in islice(beside(tmp_path / "b.png"), 3)]
    assert names == ["b.png", "b-2.png", "b-3.png"]


@pytest.mark.parametrize("odd", ["", "/", "a\0b", "\udcff", 7, None, ["x"], {"y": [1]}])
def test_an_odd_record_is_another_and_no_reason_to_fail(tmp_path, odd):
    weights = {"checkpoint": odd, "methods": [{"checkpoint": odd}], "results": odd}
    (tmp_path / "knn").mkdir()
    (tmp_path / "knn" / "knn.json").write_text(json.dumps(record() | weights))
    for of_run in (True, False):
        assert put(tmp_path / "knn", record(step=1 + of_run), of_run=of_run)[0] != tmp_path / "knn"
