"""`dilo-eval knn`: folders and files; whose protocol; what is written; what is refused."""

import json
import re
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from support.archives import contents_of, tar_of
from support.checkpoints import write_checkpoint
from support.cli import invoke
from support.features import chosen_features, small_checkpoint
from support.folders import listed_folders, write_class_folders

from dilo.eval import __main__ as program
from dilo.eval.cli import main
from dilo.eval.features.features import extract_features
from dilo.eval.features.file import write_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.common import extras
from dilo.train.monitor.knn import knn_accuracy


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
    outcomes = record.pop("outcomes")
    assert (outcomes["images"], outcomes["right"]) == (6, {"1": "/A==", "20": "/A=="})
    assert record == {
        "task": "knn",
        "precision": "fp32",
        "checkpoint": str(data / "run" / "checkpoints" / "step-00000007.pt"),
        "step": 7,
        "size": 32,
        "protocol": "dilo",
        "layer": "pooled",
        "temperature": 0.07,
        "classes": 2,
        "train": str(data / "train"),
        "test": str(data / "test"),
        "train_images": 24,
        "test_images": 6,
        "skipped": [],
        "skipped_k": [200],
        "name": data.name,
    }


def test_the_table_goes_to_standard_output_with_what_chance_gives(data):
    result = evaluate(data, "--temperature", "0.1")
    assert result.stdout.splitlines() == [
        "weighted kNN, pooled, temperature 0.1: 6 test images against 24 training images, "
        "2 classes",
        "     k    top-1    top-5",
        "     1  100.0 %      -",
        "    20  100.0 %      -",
        "chance   50.0 %      -",
        "skipped: k = 200, more than the training images",
    ]
    path = data / "run" / "eval" / "knn" / "knn.json"
    assert result.stderr.splitlines()[-1] == f"written to {path}"


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
    assert f"written to {below / 'knn-others' / 'knn.json'}" in said
    evaluate(data, "--k", "3")
    evaluate(data, "--k", "1")  # as the first
    assert {path.name for path in below.iterdir()} == {"knn", "knn-others", f"knn-{data.name}"}
    kept = json.loads((below / "knn" / "knn.json").read_text())
    assert kept["inputs"] == json.loads(first)["inputs"]
    found = json.loads((below / "knn-others" / "knn.json").read_text())
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
    assert [entry["path"] for entry in record["skipped"]] == [str(bad)]
    assert (record["train_images"], record["test_images"]) == (23, 6)
    assert "1 of the images could not be read" in result.stderr
    assert "ant/0.png: " in result.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
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
    for test in (data / "run" / ".." / "train", data / "train" / "ant", data):
        result = evaluate(data, "--test", str(test), status=2)
        assert "must be other images than --train" in " ".join(result.stderr.split())


def test_training_images_that_come_again_as_a_tar_are_warned_of(data):
    tar_of(contents_of(data / "train"), data / "train.tar")
    result = evaluate(data, "--test", str(data / "train.tar"))
    assert "warning: the test images have the names and sizes of the training" in result.stdout
    assert "warning" not in evaluate(data).stdout


def test_a_k_that_only_unreadable_images_would_fill_exits_with_3(data):
    (data / "train" / "ant" / "0.png").write_bytes(b"no image")
    result = evaluate(data, "--k", "24", status=3)
    assert "at most 23, the training images that can be read, got 24" in result.stderr


def test_a_k_beyond_all_images_is_refused_before_any_work(data):
    (data / "run" / "checkpoints" / "step-00000007.pt").unlink()  # not even looked for
    evaluate(data, "--k", "25", status=3)


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


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "dilo.eval", "knn", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: dilo-eval knn")


@pytest.fixture
def four(tmp_path):
    small_checkpoint(tmp_path / "c.pt")
    # Of one colour are a and d: a network that learned nothing is right about the others.
    for name, each in (("train", 12), ("test", 4)):
        write_class_folders(tmp_path / name, ("a", "b", "c", "d"), each=each, seed=len(name))
    return tmp_path


def vote(four, *more, status=0, checkpoint="c.pt", train="train", test="test"):
    """Run the command on the CPU; give its record, or what it says."""
    given = ["--checkpoint", four / checkpoint] if checkpoint else []
    given += ["--train", four / train, "--test", four / test, "--device", "cpu", "--workers", 0]
    result = invoke(main, "knn", *given, "--json", *more, status=status)
    return json.loads(result.stdout) if status == 0 else " ".join(result.stderr.split())


def stored(four, folder, *more):
    """Write the features of a folder to a file beside it."""
    given = ["--checkpoint", four / "c.pt", "--images", four / folder, "--device", "cpu"]
    given += ["--workers", 0, "--out", four / f"{folder}.h5"]
    invoke(main, "features", *given, *more)
    return f"{folder}.h5"


def numbers(record):
    """Leave out what says only where and when."""
    kept = ("results", "temperature", "layer", "size", "step", "classes", "protocol")
    return {name: record[name] for name in kept}


def test_files_give_the_numbers_of_their_folders_without_a_checkpoint(four):
    expected = numbers(vote(four))
    train, test = stored(four, "train"), stored(four, "test")
    for names in ({"train": train}, {"test": test}, {"train": train, "test": test}):
        assert numbers(vote(four, **names)) == expected
    record = vote(four, train=train, test=test, checkpoint=None)
    assert numbers(record) == expected
    assert (record["checkpoint"], record["train"]) == (str(four / "c.pt"), str(four / "train"))


def test_a_test_file_of_fewer_classes_is_numbered_as_the_training_images_are(four):
    for path in (four / "test" / "a").iterdir():
        path.unlink()
    (four / "test" / "a").rmdir()
    expected = numbers(vote(four))
    assert numbers(vote(four, test=stored(four, "test"))) == expected
    assert expected["results"][0]["per_class"]["a"] is None


@pytest.mark.parametrize(
    ("protocol", "layer", "ks", "temperature"),
    [
        ("instdisc", "embedding", [40], 0.2),
        ("moco", "embedding", [40], 0.1),
        ("lightly", "pooled", [40], 0.1),
        ("solo", "pooled", [20], 0.07),
    ],
)
def test_a_protocol_sets_what_is_compared_and_how(four, protocol, layer, ks, temperature):
    trained = {"recipe": {"method": "instdisc", "memory": {"temperature": 0.2}}}
    small_checkpoint(four / "c.pt", dilo={**trained})
    more = ("--size", 16, *(() if ks == [20] else ("--k", ks[0])))
    record = vote(four, "--protocol", protocol, *more)
    assert (record["protocol"], record["layer"]) == (protocol, layer)
    assert record["temperature"] == temperature
    encoder = load_encoder(four / "c.pt", size=16, layer=layer)
    bank, queries = (
        extract_features(encoder, labelled_folder(four / n)) for n in ("train", "test")
    )
    (expected,) = knn_accuracy(
        bank.vectors,
        bank.labels,
        queries.vectors,
        queries.labels,
        ks=ks,
        temperature=temperature,
        classes=4,
    )
    (found,) = record["results"]
    assert (found["k"], found["top1"], found["top5"]) == (ks[0], expected.top1, None)


def test_options_override_a_protocol(four):
    more = ("--layer", "pooled", "--k", "3", "--temperature", "0.5")
    record = vote(four, "--protocol", "moco", *more)
    assert (record["layer"], record["temperature"]) == ("pooled", 0.5)
    assert [result["k"] for result in record["results"]] == [3]


def test_features_that_do_not_fit_in_memory_go_through_a_file(four, monkeypatch):
    expected = numbers(vote(four))
    monkeypatch.setattr(
        "dilo.eval.knn.IN_MEMORY", 48 * 128 * 4 - 1
    )  # the training images', not the others'
    monkeypatch.setenv("TMPDIR", str(four / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (four / "scratch").mkdir()
    result = invoke(
        main,
        *("knn", "--checkpoint", four / "c.pt", "--train", four / "train", "--test", four / "test"),
        *("--device", "cpu", "--workers", 0, "--json"),
    )
    assert numbers(json.loads(result.stdout)) == expected
    (line,) = [line for line in result.stderr.splitlines() if "of features go through" in line]
    assert line.startswith(f"{four / 'train'}: 0.0 GB of features go through {four / 'scratch'}")
    assert not [*(four / "scratch").iterdir()]


def test_a_cache_is_read_again_for_the_same_network_only(four):
    cache = ("--cache", four / "cache" / "features")
    expected = numbers(vote(four, *cache))
    files = {path: path.stat().st_mtime_ns for path in (four / "cache" / "features").iterdir()}
    assert len(files) == 2
    assert expected == numbers(vote(four))
    assert numbers(vote(four, *cache)) == expected
    assert {p: p.stat().st_mtime_ns for p in (four / "cache" / "features").iterdir()} == files
    small_checkpoint(four / "c.pt", seed=1)
    assert numbers(vote(four, *cache)) == numbers(vote(four))
    assert len([*(four / "cache" / "features").iterdir()]) == 4


def test_files_of_two_networks_or_sizes_are_refused(four):
    train, test = stored(four, "train"), stored(four, "test", "--size", 24)
    words = vote(four, train=train, test=test, checkpoint=None, status=3)
    assert "must come from one network with one setting, got size 16 and 24: make one" in words
    words = vote(four, train=train, test=test, status=3)
    assert f"features of {four / 'test'} must be what the checkpoint makes, got size 24" in words
    small_checkpoint(four / "c.pt", seed=1)
    assert f"got checkpoint {four / 'c.pt'} (weights " in vote(four, train=train, status=3)


def test_a_file_of_another_output_than_the_protocols_is_refused(four):
    names = {"train": stored(four, "train"), "test": stored(four, "test"), "checkpoint": None}
    words = vote(four, "--protocol", "moco", "--k", "3", **names, status=3)
    assert "must be embedding, got pooled in the files: give --layer pooled, or make" in words
    record = vote(four, "--protocol", "moco", "--k", "3", "--layer", "pooled", **names)
    assert record["temperature"] == 0.1


def test_a_file_without_classes_is_refused(four):
    write_features(four / "f.h5", chosen_features(torch.ones(2, 3), [-1, -1], ()))
    for names in ({"train": "f.h5"}, {"test": "f.h5"}):
        assert "f.h5 must hold features of images in class folders" in vote(four, **names, status=3)


@pytest.mark.parametrize(
    ("more", "names", "words"),
    [
        pytest.param((), {"checkpoint": None}, "--checkpoint must be given", id="no network"),
        pytest.param((), {"test": "train"}, r"must be other images\s+than --train", id="itself"),
    ],
)
def test_what_does_not_go_together_exits_with_2(four, more, names, words):

    assert re.search(words, vote(four, *more, **names, status=2))


def test_a_file_that_is_no_file_of_features_is_refused(four):
    assert "c.pt must be a whole file of features" in vote(four, train="c.pt", status=3)


def test_a_protocol_of_more_neighbours_than_images_is_refused(four):
    words = vote(four, "--protocol", "lightly", status=3)
    assert "at most 48, the training images that can be read, got 200" in words


def test_an_earlier_checkpoint_of_a_run_has_a_result_of_its_own(data):
    checkpoints = data / "run" / "checkpoints"
    write_checkpoint(checkpoints / "step-00000000.pt")
    evaluate(data, checkpoint="run/checkpoints/step-00000000.pt")
    evaluate(data, "--name", "colours")
    records = sorted((data / "run" / "eval").glob("*/knn.json"))
    assert [path.parent.name for path in records] == ["knn", "knn-step-0"]
    names = [json.loads(path.read_text())["name"] for path in records]
    assert names == ["colours", data.name]


def test_several_checkpoints_have_results_of_their_own_and_are_compared(data, monkeypatch):
    write_checkpoint(data / "run" / "checkpoints" / "step-00000000.pt")
    untrained = ("--checkpoint", f"untrained={data / 'run' / 'checkpoints' / 'step-00000000.pt'}")
    listed = listed_folders(monkeypatch)
    result = evaluate(data, *untrained, "--k", "1")
    assert listed == [data / "train", data / "test"]  # once for all
    lines = result.stdout.splitlines()
    assert lines[0] == f"run: {data / 'run' / 'checkpoints' / 'step-00000007.pt'}"
    assert lines[-2].strip() == "run less untrained"
    assert lines[-1].split(maxsplit=4)[3:] == ["1", "0.0 (0.0 to 0.0)"]
    records = sorted((data / "run" / "eval").glob("*/knn.json"))
    assert [path.parent.name for path in records] == ["knn", "knn-step-0"]
    record = json.loads(evaluate(data, *untrained, "--k", "1", "--json").stdout)
    assert record["task"] == "knn"
    assert list(record["checkpoints"]) == ["run", "untrained"]
    assert record["checkpoints"]["run"] == json.loads(records[0].read_text())
    assert record["pairs"][0]["top1"]["1"]["images"] == 6


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param((), "each PATH must have its own name, got run twice", id="names"),
        pytest.param(("--out", "knn.json"), "--out is for one checkpoint", id="out"),
        pytest.param(("--test", "test.h5"), "A file of features is of one network", id="file"),
    ],
)
def test_what_several_checkpoints_cannot_have_exits_with_2(data, monkeypatch, more, words):
    monkeypatch.chdir(data)
    (data / "test.h5").touch()
    name = "" if words.startswith("each") else "other="
    result = evaluate(data, "--checkpoint", f"{name}{data / 'run'}", *more, status=2)
    assert words in " ".join(result.stderr.split())


def test_a_list_of_classes_narrows_both_folders_and_is_in_the_record(data):
    (data / "classes.txt").write_text("bee\n")
    write_class_folders(data / "train" / "more", ("cat",), each=2)
    result = evaluate(data, "--list", str(data / "classes.txt"), "--json", "--k", "1")
    record = json.loads(result.stdout)
    assert (record["train_images"], record["test_images"], record["classes"]) == (12, 3, 1)
    options = {"list": str(data / "classes.txt")}
    assert record["inputs"]["train"]["selection"] == options
    assert "selection" not in record["inputs"]["test"]
    skipped = "3 of 6 images skipped: of none of the 1 classes of the selected training images"
    assert skipped in result.stderr


def test_globs_and_limits_narrow_both_folders(data):
    result = evaluate(data, "--include", "bee/*", "--limit", "2", "--json", "--k", "1")
    record = json.loads(result.stdout)
    assert (record["train_images"], record["test_images"]) == (2, 2)
    options = {"include": ["bee/*"], "limit": 2}
    assert [record["inputs"][name]["selection"] for name in ("train", "test")] == [options] * 2


def test_a_file_of_features_is_not_narrowed_but_keeps_what_narrowed_its_images(data):
    features = data / "train.h5"
    arguments = ["features", "--checkpoint", str(data / "run"), "--images", str(data / "train")]
    arguments += ["--limit", "5", "--out", str(features), "--device", "cpu", "--workers", "0"]
    invoke(main, *arguments)
    more = ["knn", "--train", str(features), "--test", str(data / "test"), "--device", "cpu"]
    more += ["--checkpoint", str(data / "run"), "--workers", "0", "--k", "1", "--json"]
    record = json.loads(invoke(main, *more).stdout)
    assert record["inputs"]["train"]["selection"] == {"limit": 5}
    refused = CliRunner().invoke(main, [*more, "--limit", "3"])
    assert refused.exit_code == 3
    assert "--limit 3 must narrow a folder of images, got the file of features" in refused.stderr


def test_a_flat_folder_and_an_archive_have_their_classes_from_a_file(data):
    flat, lines = {}, ["ImageId,PredictionString"]
    for path in sorted((data / "test").glob("*/*.png")):
        name = f"{path.parent.name}_{path.name}"
        flat[name] = path.read_bytes()
        lines.append(f"{path.parent.name}_{path.stem},{path.parent.name} 1 2 3 4")
    tar_of(flat, data / "flat.tar")
    (data / "solution.csv").write_text("\n".join(lines))
    expected = json.loads(evaluate(data, "--json", "--k", "1").stdout)
    test = ["--test", str(data / "flat.tar"), "--json", "--k", "1"]
    refused = evaluate(data, *test, status=3).stderr
    assert "got the image ant_0.png outside any" in refused
    assert "in a file by --labels FILE" in refused
    record = json.loads(evaluate(data, *test, "--labels", str(data / "solution.csv")).stdout)
    assert record["results"] == expected["results"]
    assert record["inputs"]["train"]["digest"] == expected["inputs"]["train"]["digest"]
    labels = {"labels": [str(data / "solution.csv")]}
    assert record["inputs"]["test"]["selection"] == labels


def test_archives_are_the_folders_that_they_hold(data):
    expected = json.loads(evaluate(data, "--json").stdout)
    for part in ("train", "test"):
        tar_of(contents_of(data / part), data / f"{part}.tar")
    more = ["--train", str(data / "train.tar"), "--test", str(data / "test.tar"), "--json"]
    record = json.loads(evaluate(data, *more).stdout)
    assert record["results"] == expected["results"]
    for part in ("train", "test"):
        assert record["inputs"][part]["digest"] == expected["inputs"][part]["digest"]
