"""`dilo-eval saliency`: arguments in; exit status, words, JSON and files out."""

import json
import subprocess
import sys

import pytest
from support.cli import invoke
from support.maps import write_maps

from dilo.eval.cli import main
from dilo.pipeline.common import extras


@pytest.fixture
def maps(tmp_path):
    """Write truths, images and the masks of two methods."""
    return write_maps(tmp_path)


def rate(maps, *more, status=0, masks=("good",)):
    """Score masks in this process."""
    given = [word for name in masks for word in ("--masks", maps / name)]
    out = ["--truth", maps / "truth", "--out", maps / "scores", "--workers", 1]
    return invoke(main, "saliency", *given, *out, *more, status=status)


def test_it_says_in_words_and_once_in_json_what_it_found(maps):
    result = rate(maps, "--no-plots", "--json", masks=("good", "bad"))
    record = json.loads(result.stdout)
    assert [method["method"] for method in record["methods"]] == ["good", "bad"]
    assert (maps / "scores" / "saliency.json").read_text() == result.stdout
    notes = result.stderr.splitlines()
    assert notes[:2] == [f"{name}: 4 masks in {maps / name}" for name in ("good", "bad")]
    assert notes[-1].endswith("saliency.json the curves, per-image.csv the images")
    result = rate(maps, "--no-plots", masks=("good", "bad"))
    assert result.stdout.startswith("method   max F  max F/image")


def test_it_calls_a_method_what_the_user_calls_it(maps):
    (maps / "x=y").mkdir()
    (maps / "good" / "a").rename(maps / "x=y" / "a")
    given = ["--masks", f"My method={maps / 'bad'}", "--masks", maps / "x=y"]
    result = rate(maps, *given, "--no-plots", "--json", masks=())
    assert [m["method"] for m in json.loads(result.stdout)["methods"]] == ["My method", "x=y"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--masks", "nowhere"), "got nowhere: not found", id="no-folder"),
        pytest.param(("--masks", "x=nowhere"), "got x=nowhere: not found", id="no-named"),
        pytest.param(("--masks", "={maps}/bad"), "a name must be printable", id="no-name"),
        pytest.param(("--masks", "a\nb={maps}/bad"), "got 'a\\nb=", id="line-break"),
        pytest.param(("--masks", "{maps}/x/../good"), "got good twice: give NAME=", id="twice"),
        pytest.param(("--workers", "0"), "0 workers do nothing", id="no-jobs"),
        pytest.param(("--out", "{maps}/truth"), "outside the folders that are read", id="out"),
        pytest.param(("--out", "{maps}/good/new"), "outside the folders that", id="out-in-masks"),
        pytest.param(("--images", "{maps}", "--truth", "{maps}/good"), "outside", id="out-images"),
    ],
)
def test_a_wrong_option_exits_with_2_and_writes_nothing(maps, more, words):
    (maps / "x").mkdir()
    result = rate(maps, *(word.replace("{maps}", str(maps)) for word in more), status=2)
    # click may break the line inside of a path; words of the rule are there all the same.
    assert words.replace(" ", "") in "".join(result.stderr.split())
    assert not (maps / "scores").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param("bad/a/1.png", "bad must have a mask for each of the 4 ground", id="missing"),
        pytest.param("truth/a", "a folder must hold images", id="no-truth"),
        pytest.param("bad/a", "a folder must hold images", id="no-masks"),
    ],
)
def test_what_cannot_be_scored_exits_with_3_and_writes_nothing(maps, change, words):
    (maps / change).rename(maps / "gone")
    assert words in rate(maps, masks=("good", "bad"), status=3).stderr
    assert not (maps / "scores").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_broken_mask_exits_with_3_and_names_it(maps, jobs):
    (maps / "good" / "a" / "2.png").write_bytes(b"no picture")
    result = rate(maps, "--no-plots", "--workers", jobs, status=3)
    assert f"{maps / 'good' / 'a' / '2.png'} must be a picture, got: not an image" in result.stderr
    assert not (maps / "scores" / "saliency.json").exists()


def test_it_says_before_the_work_that_plots_need_matplotlib(maps, monkeypatch):
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "matplotlib" else object()
    )
    assert rate(maps, status=3).stderr == (
        "Error: dilo-eval saliency needs matplotlib: pip install 'dilo[eval]', or give --no-plots\n"
    )
    rate(maps, "--no-plots")
    assert not list((maps / "scores").glob("*-*l*.png"))


def test_it_imports_no_torch_and_asks_for_no_screen(maps):
    code = (
        "import sys; from click.testing import CliRunner; from dilo.eval.cli import main\n"
        "result = CliRunner().invoke(main, sys.argv[1:], catch_exceptions=False)\n"
        "sys.exit(result.exit_code or bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    words = ["saliency", "--masks", maps / "good", "--truth", maps / "truth", "--workers", "1"]
    command = [sys.executable, "-c", code, *words, "--out", maps / "scores"]
    subprocess.run(command, check=True)
    assert (maps / "scores" / "f-threshold.png").is_file()
