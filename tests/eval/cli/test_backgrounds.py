"""`dilo-eval backgrounds`: arguments in; exit status, words, JSON and files out."""

import json

import pytest
from support.cli import invoke
from support.reliance import (
    CLASSES,
    NINE,
    challenge_folder,
    in_to_in9,
    scenes_and_masks,
    write_classifier,
)

from dilo.eval.backgrounds.challenge import CHALLENGE
from dilo.eval.backgrounds.variations import VARIATIONS
from dilo.eval.cli import backgrounds, main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("backgrounds")
    scenes_and_masks(root, each=2)
    challenge_folder(root / "release", ("original", "mixed_same", "mixed_rand"), each=1)
    write_classifier(root / "run" / "eval" / "linear" / "classifier.pth", CLASSES)
    (root / "run" / "checkpoints").mkdir()
    write_classifier(root / "nine.pth", NINE, size=8)
    (root / "in_to_in9.json").write_text(json.dumps(in_to_in9()))
    return root


def evaluate(*words, status=0):
    return invoke(main, "backgrounds", *words, "--device", "cpu", "--workers", 0, status=status)


def test_the_variations_that_can_be_named_are_those_there_are():
    assert (backgrounds.VARIATIONS, backgrounds.CHALLENGE) == (VARIATIONS, CHALLENGE)


def test_a_run_gets_numbers_table_and_sheet_beside_its_other_results(data):
    source = ("--images", data / "images", "--masks", data / "masks")
    result = evaluate("--checkpoint", data / "run", *source, "--json")
    out = data / "run" / "eval" / "backgrounds"
    record = json.loads((out / "backgrounds.json").read_text())
    assert record == json.loads(result.stdout)
    assert (record["task"], record["step"], record["size"]) == ("backgrounds", 5, 28)
    assert record["results"][0]["name"] == "run"
    assert {"seconds", "versions"} <= record.keys()
    table = (out / "table.txt").read_text()
    assert table.splitlines()[0].startswith("variations of 6 images of ")
    assert evaluate("--checkpoint", data / "run", *source).stdout == table
    assert (out / "variations.png").stat().st_size > 1000
    # A second time: the same numbers.
    again = json.loads(
        evaluate("--checkpoint", f"x={data / 'run'}", *source, "--batch", 4, "--json").stdout
    )
    assert again["results"][0].pop("name") == "x"
    record["results"][0].pop("name")
    assert again["results"] == record["results"]


def test_the_challenge_is_judged_at_the_size_that_is_asked_for(data, tmp_path):
    words = ("--checkpoint", data / "nine.pth", "--challenge", data / "release", "--out", tmp_path)
    result = evaluate(*words, "--size", 8, "--variations", "original", "--json")
    record = json.loads(result.stdout)
    assert (record["mode"], record["side"]) == ("challenge", 8)
    assert record["results"][0]["top1"].keys() == {"original"}
    assert "nine: sees 8 px\n" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param((), "give --challenge DIR, or both --images DIR and --masks", id="nothing"),
        pytest.param(("--images", "images"), "or both --images DIR and", id="no-masks"),
        pytest.param(
            ("--challenge", "release", "--images", "images"), "brings its own images", id="both"
        ),
        pytest.param(
            ("--images", "images", "--masks", "masks", "--mapping", "in_to_in9.json"),
            "--mapping is for --challenge only",
            id="mapping",
        ),
        pytest.param(
            ("--images", "images", "--masks", "masks", "--variations", "only_bg_t"),
            "without --challenge, got only_bg_t",
            id="variation",
        ),
        pytest.param(
            ("--images", "images", "--masks", "masks", "--out", "images/out"),
            "must be outside the folders that are read, got images/out in images",
            id="out",
        ),
        pytest.param(
            ("--challenge", "release", "--checkpoint", "nine.pth"), "got nine twice", id="twice"
        ),
        pytest.param(
            ("--challenge", "release", "--checkpoint", "x=no.pth"),
            "got x=no.pth: not found",
            id="no-file",
        ),
        pytest.param(
            ("--challenge", "release", "--checkpoint", "=nine.pth"), "printable", id="no-name"
        ),
    ],
)
def test_a_wrong_option_exits_with_2(data, monkeypatch, words, message):
    monkeypatch.chdir(data)
    result = evaluate("--checkpoint", "nine.pth", *words, status=2)
    assert message in " ".join(result.stderr.split())


def test_what_does_not_fit_exits_with_3_and_says_what_to_do(data, tmp_path):
    release = ("--challenge", data / "release", "--out", tmp_path)
    result = evaluate("--checkpoint", data / "run", *release, status=3)
    assert "must have 9 classes, or ImageNet's 1000" in result.stderr
    result = evaluate("--checkpoint", data / "nine.pth", *release[:2], status=3)
    assert "--out must say where the result goes" in result.stderr
