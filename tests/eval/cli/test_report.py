"""`dilo-eval report`: arguments in; a page, words and JSON out."""

import json

import pytest
from support.cli import invoke
from support.reports import knn, training, write_json

from dilo.eval.cli import main

pytest.importorskip("matplotlib")


@pytest.fixture
def runs(tmp_path):
    """Write a run that has kNN, and a folder that is no run."""
    write_json(tmp_path / "moco" / "eval" / "knn" / "knn.json", knn())
    (tmp_path / "moco" / "eval" / "knn" / "knn.json").rename(
        tmp_path / "moco" / "eval" / "knn" / "any.json"
    )
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_runs_are_called_by_name_or_folder(runs):
    given = [runs / "moco", f"again={runs / 'moco'}"]
    result = invoke(main, "report", *given, "--out", runs / "out", "--title", "T & T", "--json")
    record = json.loads(result.stdout)
    assert {n["run"] for n in record["numbers"]} == {"moco", "again"}
    assert "<title>T &amp; T</title>" in (runs / "out" / "report.html").read_text()


def test_a_checkpoint_is_called_by_its_run_and_step(runs):
    checkpoint = runs / "moco" / "checkpoints" / "step-00001764.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    result = invoke(main, "report", checkpoint, "--out", runs / "out", "--json")
    record = json.loads(result.stdout)
    assert {n["run"] for n in record["numbers"]} == {"moco step-00001764"}


def test_the_page_is_named_on_standard_output_and_damage_on_standard_error(runs):
    training(runs / "run", 0.3)
    (runs / "run" / "eval" / "knn").mkdir(parents=True)
    (runs / "run" / "eval" / "knn" / "knn.json").write_text("{")
    result = invoke(main, "report", runs / "run", "--out", runs / "out")
    assert result.stdout == f"{runs / 'out' / 'report.html'}: 1 run, 0 numbers\n"
    assert "knn.json is skipped" in result.stderr
    assert (runs / "out" / "curves.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["{}/moco"], "Missing option '--out'", id="no-out"),
        pytest.param(["--out", "{}/out"], "Missing argument", id="no-run"),
        pytest.param(["{}/no", "--out", "{}/out"], "not found", id="no-such-run"),
        pytest.param(["{}/moco", "{}/moco", "--out", "{}/o"], "got moco twice", id="twice"),
        pytest.param(["{}/moco", "--out", "{}/moco/out"], "must be outside the folders", id="in"),
        pytest.param(
            ["{}/moco", "--include", "{}/empty", "--out", "{}/empty"], "outside", id="in-included"
        ),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_writes_nothing(runs, arguments, words):
    before = sorted(runs.rglob("*"))
    given = [word.replace("{}", str(runs)) for word in arguments]
    result = invoke(main, "report", *given, status=2)
    assert words.replace(" ", "") in "".join(result.stderr.split())
    assert sorted(runs.rglob("*")) == before


def test_a_folder_that_is_no_run_exits_with_3(runs):
    result = invoke(main, "report", runs / "empty", "--out", runs / "out", status=3)
    assert "empty must be the folder of a run, or hold results of dilo-eval" in result.stderr
