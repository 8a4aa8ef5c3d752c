"""`dilo-eval localize`: arguments in; exit status, words and JSON out."""

import json

import pytest
from support.classifiers import write_classifier
from support.cli import invoke
from support.located import SIDE, write_objects

from dilo.eval.cli import main


@pytest.fixture
def objects(tmp_path):
    return write_objects(tmp_path, ("ant/1", "bee/1"))


def localize(root, *more, status=0):
    usual = ["--images", root / "images", "--device", "cpu", "--workers", 0, "--no-plots"]
    return invoke(main, "localize", *usual, *more, status=status)


def test_a_run_s_result_lies_below_the_run(objects):
    run = objects / "run"
    (run / "checkpoints").mkdir(parents=True)
    write_classifier(run / "eval" / "linear" / "classifier.pth", ("ant", "bee"), size=SIDE)
    result = localize(
        *(objects, "--checkpoint", run, "--truth", objects / "masks"),
        *("--method", "cam", "--method", "cam", "--class", "predicted", "--no-sheets", "--json"),
    )
    record = json.loads(result.stdout)
    assert record == json.loads((run / "eval" / "localize" / "localize.json").read_text())
    assert [row["method"] for row in record["methods"]] == ["cam", "center", "random"]
    assert record["methods"][0]["name"] == "run cam"
    assert record["methods"][0]["class"] == "predicted"
    assert {path.name for path in (run / "eval" / "localize").iterdir()} == {
        "localize.json",
        "table.txt",
        "per-image.csv",
    }
    assert "baseline: center prior" in (run / "eval" / "localize" / "table.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            ["--maps", "{0}/perfect", "--truth", "{0}/masks", "--size", "7"],
            2,
            "must be at least 8 px, got 7",
        ),
        (["--truth", "{0}/masks"], 2, "give --checkpoint or --maps, which make or hold the maps"),
        (["--maps", "{0}/perfect"], 2, "give either --truth or --boxes, which say where"),
        (
            ["--maps", "{0}/perfect", "--truth", "{0}/masks", "--boxes", "{0}/masks"],
            2,
            "give either --truth or --boxes",
        ),
        (
            ["--maps", "{0}/perfect", "--truth", "{0}/masks", "--out", "{0}/masks/x"],
            2,
            "must be outside the folders that are read",
        ),
        (
            ["--maps", "{0}/perfect", "--truth", "{0}/masks"],
            3,
            "--out must say where the result goes, got none",
        ),
        (
            ["--maps", "{0}/perfect", "--boxes", "{0}/masks", "--out", "{0}/o"],
            3,
            "must hold XML files, got none",
        ),
        (["--checkpoint", "{0}/none", "--truth", "{0}/masks"], 2, "not found"),
    ],
)
def test_what_cannot_be_is_refused_in_words(objects, arguments, status, words):
    result = localize(objects, *(word.format(objects) for word in arguments), status=status)
    assert words in " ".join(result.stderr.split())
