"""`dilo-eval`: arguments in; exit status, words, JSON and files out."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image
from support.checkpoints import write_checkpoint
from support.cli import invoke
from support.folders import write_class_folders
from support.maps import write_maps

from dilo.eval import __main__ as program
from dilo.eval.cli import main
from dilo.pipeline.common import extras


@pytest.fixture
def data(tmp_path):
    """Write a run, 24 training images and 6 test images, in two classes."""
    write_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000007.pt")
    write_class_folders(tmp_path / "train", ("ant", "bee"), each=12, seed=1)
    write_class_folders(tmp_path / "test", ("ant", "bee"), each=3, seed=2)
    return tmp_path


def evaluate(data, *more, status=0, checkpoint="run"):
    """Run the command on the CPU, and show everything if its status is another."""
    arguments = ["knn", "--checkpoint", str(data / checkpoint), "--train", str(data / "train")]
    arguments += ["--test", str(data / "test"), "--device", "cpu", "--workers", "0", *more]
    result = CliRunner().invoke(main, arguments)
    failure = (arguments, result.stdout, result.stderr, result.exception)
    assert result.exit_code == status, failure
    return result


def test_colours_are_told_apart_by_a_network_that_learned_nothing(data):
    result = evaluate(data, "--json")
    record = json.loads(result.stdout)
    right = {"top1": 100.0, "top5": None, "per_class": {"ant": 100.0, "bee": 100.0}}
    assert record.pop("results") == [{"k": 1, **right}, {"k": 20, **right}]
    assert set(record.pop("versions")) == {"dilo", "torch", "torchvision", "numpy"}
    assert record.pop("seconds") >= 0
    inputs = record.pop("inputs")
    assert inputs["train"]["folder"] == str(data / "train")
    assert inputs["train"]["digest"] != inputs["test"]["digest"]
    assert record == {
        "task": "knn",
        "precision": "fp32",
        "checkpoint": str(data / "run" / "checkpoints" / "step-00000007.pt"),
        "step": 7,
        "size": 32,
        "protocol": "dilo",
        "bank": "images",
        "output": "pooled",
        "temperature": 0.07,
        "classes": 2,
        "train": str(data / "train"),
        "test": str(data / "test"),
        "train_images": 24,
        "test_images": 6,
        "unreadable": [],
    }


def test_words_go_to_standard_error_with_what_chance_gives(data):
    result = evaluate(data, "--temperature", "0.1")
    assert result.stdout == ""
    table = result.stderr.splitlines()[2:]
    assert table == [
        "weighted kNN, pooled, temperature 0.1: 6 test images against 24 training images, "
        "2 classes",
        "     k    top-1    top-5",
        "     1  100.0 %      -",
        "    20  100.0 %      -",
        "chance   50.0 %      -",
        "left out: k = 200, more than the training images",
        f"written to {data / 'run' / 'eval' / 'knn' / 'knn.json'}",
    ]


def test_wrong_labels_count_as_wrong(data):
    (data / "test" / "ant").rename(data / "test" / "x")
    (data / "test" / "bee").rename(data / "test" / "ant")
    (data / "test" / "x").rename(data / "test" / "bee")
    record = json.loads(evaluate(data, "--json", "--k", "1").stdout)
    wrong = {"top1": 0.0, "top5": None, "per_class": {"ant": 0.0, "bee": 0.0}}
    assert record["results"] == [{"k": 1, **wrong}]


def test_a_test_folder_may_hold_fewer_classes_than_the_training_folder(data):
    for path in (data / "test" / "ant").iterdir():
        path.unlink()
    record = json.loads(evaluate(data, "--json", "--k", "3", "--k", "1", "--k", "3").stdout)
    assert record["classes"] == 2
    right = {"top1": 100.0, "top5": None, "per_class": {"ant": None, "bee": 100.0}}
    assert record["results"] == [{"k": k, **right} for k in (1, 3)]


def test_the_file_holds_the_same_json(data):
    result = evaluate(data, "--json", "--out", str(data / "knn.json"))
    assert (data / "knn.json").read_text() == result.stdout
    assert (data / "run" / "eval" / "knn" / "knn.json").read_text() == result.stdout


def test_a_second_data_set_or_setting_replaces_no_result_of_a_run(data):
    write_class_folders(data / "others", ("ant", "bee"), each=3, seed=5)
    below = data / "run" / "eval"
    first = evaluate(data, "--json", "--k", "1").stdout
    said = evaluate(data, "--test", str(data / "others"), "--k", "1").stderr
    assert f"{below / 'knn'} holds a result of other images or settings" in said
    assert f"written to {below / 'knn-2' / 'knn.json'}" in said
    evaluate(data, "--k", "3")
    evaluate(data, "--k", "1")  # as the first
    assert {path.name for path in below.iterdir()} == {"knn", "knn-2", "knn-3"}
    kept = json.loads((below / "knn" / "knn.json").read_text())
    assert kept["inputs"] == json.loads(first)["inputs"]
    found = json.loads((below / "knn-2" / "knn.json").read_text())
    assert found["test"] == str(data / "others")


def test_a_file_that_is_no_record_is_not_written_over(data):
    (data / "letter.json").write_text('{"dear": 1}')
    result = evaluate(data, "--out", str(data / "letter.json"), status=3)
    assert "letter.json must be a new file, or a record of dilo-eval knn" in result.stderr
    assert (data / "letter.json").read_text() == '{"dear": 1}'


def test_options_override_the_checkpoint(data):
    path = data / "foreign.pt"
    write_checkpoint(path, lambda c: [c.pop("dilo"), c.pop("arch")])
    more = ("--arch", "resnet18", "--size", "40", "--batch", "5")
    record = json.loads(evaluate(data, "--json", *more, checkpoint="foreign.pt").stdout)
    assert (record["step"], record["size"]) == (None, 40)
    assert record["results"][0]["top1"] == 100.0


def test_unreadable_images_are_reported_and_the_others_evaluated(data):
    bad = data / "train" / "ant" / "0.png"
    bad.write_bytes(b"no image")
    result = evaluate(data, "--json")
    record = json.loads(result.stdout)
    assert [entry["path"] for entry in record["unreadable"]] == [str(bad)]
    assert (record["train_images"], record["test_images"]) == (23, 6)
    assert "1 of the images could not be read" in result.stderr
    assert "ant/0.png: " in result.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--k", "25"), "at most 24, the training images", id="k-too-large"),
        pytest.param(("--k", "0"), "x>=1", id="k-zero"),
        pytest.param(("--temperature", "nan"), "positive and finite, got nan", id="temperature"),
        pytest.param(("--temperature", "0"), "positive and finite, got 0.0", id="cold"),
        pytest.param(("--out", "nowhere/knn.json"), "its folder must exist", id="no-folder"),
        pytest.param(("--device", "tpu"), "'tpu' is not one of", id="device"),
    ],
)
def test_a_wrong_option_exits_with_2(data, more, words):
    result = evaluate(data, *more, status=2)
    assert words in " ".join(result.stderr.split())


def test_images_that_are_to_find_themselves_exit_with_2(data):
    result = evaluate(data, "--test", str(data / "run" / ".." / "train"), status=2)
    assert "every image would find itself" in result.stderr


def test_a_k_that_only_unreadable_images_would_fill_exits_with_2(data):
    (data / "train" / "ant" / "0.png").write_bytes(b"no image")
    result = evaluate(data, "--k", "24", status=2)
    assert "at most 23, the training images that can be read, got 24" in result.stderr


def test_a_k_beyond_all_images_is_refused_before_any_work(data):
    (data / "run" / "checkpoints" / "step-00000007.pt").unlink()  # not even looked for
    evaluate(data, "--k", "25", status=2)


def test_a_damaged_checkpoint_exits_with_3_and_says_what_to_do(data):
    path = data / "run" / "checkpoints" / "step-00000007.pt"
    path.write_bytes(path.read_bytes()[:1000])
    result = evaluate(data, status=3)
    assert "Traceback" not in result.stderr
    assert "step-00000007.pt must be a whole file" in result.stderr
    assert "take another checkpoint" in result.stderr


def test_a_class_that_was_not_trained_on_exits_with_3_before_any_work(data):
    write_class_folders(data / "test", ("wasp",), each=1)
    (data / "run" / "checkpoints" / "step-00000007.pt").unlink()  # not even looked for
    result = evaluate(data, status=3)
    assert "among the 2 of the training images, got wasp" in result.stderr


def test_a_gpu_that_is_not_there_exits_with_3(data, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "give --device cpu" in evaluate(data, "--device", "cuda", status=3).stderr


def test_an_image_without_a_class_exits_with_3(data):
    Image.new("RGB", (8, 8)).save(data / "test" / "stray.png")
    assert "got the image stray.png outside any" in evaluate(data, status=3).stderr


def test_without_torch_the_program_says_how_to_get_it(data, monkeypatch, capsys):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else object())
    options = ["--checkpoint", "run", "--train", "train", "--test", "test"]
    monkeypatch.chdir(data)
    monkeypatch.setattr(sys, "argv", ["dilo-eval", "knn", *options])
    with pytest.raises(SystemExit) as caught:
        program.main()
    assert caught.value.code == 3
    assert capsys.readouterr().err == "Error: dilo-eval needs torch: pip install 'dilo[train]'\n"


def test_help_does_not_import_torch():
    code = (
        "import sys; from click.testing import CliRunner; from dilo.eval.cli import main\n"
        "result = CliRunner().invoke(main, ['knn', '--help'])\n"
        "sys.exit(result.exit_code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "dilo.eval", "knn", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: dilo-eval knn")


@pytest.fixture
def maps(tmp_path):
    """Write truths, images and the masks of two methods."""
    return write_maps(tmp_path)


def rate(maps, *more, status=0, masks=("good",)):
    """Score masks in this process."""
    given = [word for name in masks for word in ("--masks", maps / name)]
    out = ["--truth", maps / "truth", "--out", maps / "scores", "--jobs", 1]
    return invoke(main, "saliency", *given, *out, *more, status=status)


def test_saliency_says_in_words_and_once_in_json_what_it_found(maps):
    result = rate(maps, "--no-plots", "--json", masks=("good", "bad"))
    record = json.loads(result.stdout)
    assert [method["method"] for method in record["methods"]] == ["good", "bad"]
    assert (maps / "scores" / "saliency.json").read_text() == result.stdout
    lines = result.stderr.splitlines()
    assert lines[:2] == [f"{name}: 4 masks in {maps / name}" for name in ("good", "bad")]
    assert lines[2].startswith("method   max F  max F/image")
    assert lines[-1].endswith("saliency.json the curves, per-image.csv the images")


def test_saliency_calls_a_method_what_the_user_calls_it(maps):
    (maps / "x=y").mkdir()
    (maps / "good" / "a").rename(maps / "x=y" / "a")
    given = ["--masks", f"My method={maps / 'bad'}", "--masks", maps / "x=y"]
    result = rate(maps, *given, "--no-plots", "--json", masks=())
    assert [m["method"] for m in json.loads(result.stdout)["methods"]] == ["My method", "x=y"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--masks", "nowhere"), "got nowhere: no such folder", id="no-folder"),
        pytest.param(("--masks", "x=nowhere"), "got x=nowhere: no such folder", id="no-named"),
        pytest.param(("--masks", "={maps}/bad"), "name the method in printable", id="no-name"),
        pytest.param(("--masks", "a\nb={maps}/bad"), "got 'a\\nb=", id="line-break"),
        pytest.param(("--masks", "{maps}/x/../good"), "got good twice: give NAME=", id="twice"),
        pytest.param(("--jobs", "0"), "0 workers do nothing", id="no-jobs"),
        pytest.param(("--out", "{maps}/truth"), "outside the folders that are read", id="out"),
        pytest.param(("--out", "{maps}/good/new"), "outside the folders that", id="out-in-masks"),
        pytest.param(("--images", "{maps}", "--truth", "{maps}/good"), "outside", id="out-images"),
    ],
)
def test_saliency_with_a_wrong_option_exits_with_2_and_writes_nothing(maps, more, words):
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
def test_saliency_that_cannot_go_on_exits_with_3_and_writes_nothing(maps, change, words):
    (maps / change).rename(maps / "gone")
    assert words in rate(maps, masks=("good", "bad"), status=3).stderr
    assert not (maps / "scores").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_saliency_of_a_broken_mask_exits_with_3_and_names_it(maps, jobs):
    (maps / "good" / "a" / "2.png").write_bytes(b"no picture")
    result = rate(maps, "--no-plots", "--jobs", jobs, status=3)
    assert f"{maps / 'good' / 'a' / '2.png'} must be a picture, got: not an image" in result.stderr
    assert not (maps / "scores" / "saliency.json").exists()


def test_saliency_says_before_the_work_that_plots_need_matplotlib(maps, monkeypatch):
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "matplotlib" else object()
    )
    assert rate(maps, status=3).stderr == (
        "Error: dilo-eval saliency needs matplotlib: pip install 'dilo[eval]', or give --no-plots\n"
    )
    rate(maps, "--no-plots")
    assert not list((maps / "scores").glob("*-*l*.png"))


def test_saliency_imports_no_torch_and_asks_for_no_screen(maps):
    code = (
        "import sys; from click.testing import CliRunner; from dilo.eval.cli import main\n"
        "result = CliRunner().invoke(main, sys.argv[1:], catch_exceptions=False)\n"
        "sys.exit(result.exit_code or bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    words = ["saliency", "--masks", maps / "good", "--truth", maps / "truth", "--jobs", "1"]
    command = [sys.executable, "-c", code, *words, "--out", maps / "scores"]
    subprocess.run(command, check=True)
    assert (maps / "scores" / "f-threshold.png").is_file()
