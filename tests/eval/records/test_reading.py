"""What lies in a run's folder: records, pictures, curves, and damage that is told."""

import json
import os
from pathlib import Path

import pytest
from support.reports import knn, picture, training, whole_run, write_json

from dilo.eval.records import reading
from dilo.eval.records.reading import number, read_source
from dilo.eval.report.sections import steps_words
from dilo.pipeline.errors import ContentError, DiloError


def test_a_run_is_read_with_its_records_and_pictures(tmp_path):
    run = read_source("name", whole_run(tmp_path / "run"), is_run=True)
    tasks = {result.task for result in run.results}
    assert tasks == {"knn", "linear", "linear-fast", "localize", "backgrounds"}
    assert {path.name for path in run.pictures} == {
        "sheet-run.png",
        "variations.png",
        "neighbors.png",  # beside no record
    }
    assert run.recipe["paste.probability"] == "0"
    assert (run.facts["images"], len(run.lines), run.notes) == (9469, 33, [])


def test_records_of_a_folder_that_is_no_run_lie_in_it_or_one_below(tmp_path):
    write_json(tmp_path / "knn.json", knn())
    write_json(tmp_path / "saliency" / "saliency.json", {"task": "saliency"})
    write_json(tmp_path / "a" / "b" / "knn.json", {"task": "too deep"})
    write_json(tmp_path / "other.json", {"no": "task"})
    picture(tmp_path / "only" / "picture.PNG")
    found = read_source("x", tmp_path, is_run=False)
    assert [result.task for result in found.results] == ["knn", "saliency"]
    assert [path.name for path in found.pictures] == ["picture.PNG"]


def test_a_file_that_is_no_checkpoint_of_a_run_is_refused_wherever_it_lies(tmp_path):
    for path in (Path("/x"), tmp_path / "step-00000001.pt"):
        with pytest.raises(DiloError, match=r"must be the folder of a run, or a checkpoint RUN/"):
            read_source("name", path, is_run=True)


@pytest.mark.parametrize(
    "content",
    [
        b'{"task": "knn", "results": [',
        b"\xff\xfe",
        b"[" * 100_000,
        b"",
        b'{"task": "knn", "x": ' + b"9" * 5000 + b"}",
    ],
    ids=["torn", "no-text", "deep", "empty", "long-number"],
)
def test_a_damaged_record_is_noted_and_skipped(tmp_path, content):
    training(tmp_path, 0.0)
    (tmp_path / "eval" / "knn").mkdir(parents=True)
    (tmp_path / "eval" / "knn" / "knn.json").write_bytes(content)
    run = read_source("mine", tmp_path, is_run=True)
    assert not run.results
    (note,) = run.notes
    assert note.startswith(f"mine: {tmp_path}/eval/knn/knn.json is skipped: it is no JSON")


def test_a_record_that_is_too_large_is_noted_and_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LARGEST", 100)
    write_json(tmp_path / "knn.json", knn())
    run = read_source("mine", tmp_path, is_run=True)
    assert not run.results
    assert "skipped: larger than" in run.notes[0]


@pytest.mark.parametrize("content", ["[1]", "7", '{"task": 7}', "null"])
def test_json_that_is_no_record_is_passed_over(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    run = read_source("mine", tmp_path, is_run=True)
    assert not run.results
    assert not run.notes


def test_of_several_records_of_a_task_that_of_the_latest_step_is_shown(tmp_path):
    for place, step in (("a", 10), ("b", 30), ("c", 20)):
        write_json(tmp_path / "eval" / place / "knn.json", knn(step=step))
    run = read_source("mine", tmp_path, is_run=True)
    assert run.result("knn").step == 30
    assert len(run.superseded()) == 2
    assert all("b/knn.json is of a later step" in words for words in run.superseded())


def test_of_records_without_a_step_the_one_written_last_is_shown(tmp_path):
    for place, time in (("a", 200), ("b", 100)):
        path = write_json(tmp_path / "eval" / place / "knn.json", knn(step=None))
        os.utime(path, (time, time))
    assert read_source("mine", tmp_path, is_run=True).result("knn").path.parent.name == "a"


def test_the_recipe_is_read_from_its_file_where_the_facts_lack_it(tmp_path):
    (tmp_path / "recipe.toml").write_text('method = "moco"\n[paste]\nprobability = 0.3\n')
    run = read_source("mine", tmp_path, is_run=True)
    assert run.recipe == {"method": "moco", "paste.probability": "0.3"}
    (tmp_path / "recipe.toml").write_text("method = ")
    run = read_source("mine", tmp_path, is_run=True)
    assert run.recipe == {}
    assert "recipe.toml is skipped: it cannot be read" in run.notes[0]


@pytest.mark.parametrize(
    ("value", "found"),
    [(1, 1.0), (2.5, 2.5), (True, None), ("1", None), (None, None), (10**400, None), (-1e300, None)]
    + [(json.loads(word), None) for word in ("NaN", "Infinity")],
)
def test_only_a_number_that_something_may_measure_is_one(value, found):
    assert number(value) == found


def test_a_pipe_or_a_device_in_a_run_keeps_no_report_waiting(tmp_path):
    run = whole_run(tmp_path / "run")
    for name, make in (("run.json", os.mkfifo), ("recipe.toml", os.mkfifo)):
        (run / name).unlink(missing_ok=True)
        make(run / name)
    (run / "state").unlink(missing_ok=True)
    (run / "state").symlink_to("/dev/zero")
    found = read_source("a", run, is_run=True)
    assert (found.facts, found.recipe) == ({}, {})
    assert any("recipe.toml must be a regular file, got a pipe" in note for note in found.notes)
    assert steps_words(found) == "60"
    (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    with pytest.raises(ContentError, match=r"metrics.jsonl must be a regular file"):
        read_source("a", run, is_run=True)


def test_a_record_nested_too_deep_or_with_a_number_of_thousands_of_digits_is_noted(tmp_path):
    (tmp_path / "a.json").write_text('{"task": ' + "[" * 200_000)
    (tmp_path / "b.json").write_text('{"task": "knn", "step": ' + "9" * 4000 + "}")
    found = read_source("x", tmp_path, is_run=False)
    assert found.results == []
    assert len(found.notes) == 2


def test_a_checkpoint_of_a_run_has_the_records_of_its_step_alone(tmp_path):
    run = whole_run(tmp_path / "run")
    write_json(run / "eval" / "knn-step-0" / "knn.json", knn(20.0, step=0))
    checkpoint = run / "checkpoints" / "step-00000000.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    untrained = read_source("untrained", checkpoint, is_run=True)
    assert [result.record["step"] for result in untrained.results] == [0]
    assert (untrained.step, untrained.lines, untrained.pictures) == (0, [], [])
    assert untrained.recipe["method"] == "moco"
    trained = read_source("moco", run, is_run=True)
    assert {result.step for result in trained.results if result.task == "knn"} == {1764}
    assert trained.superseded() == []
