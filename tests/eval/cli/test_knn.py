"""`dilo-eval knn`: folders, files and memories; whose protocol; what is refused."""

import json
import re

import pytest
import torch
from support.cli import invoke
from support.features import chosen_features, small_checkpoint
from support.folders import write_class_folders

from dilo.eval.cli import knn, main
from dilo.eval.features.features import features
from dilo.eval.features.file import write_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.encoder import load_encoder
from dilo.train.monitor.knn import knn_accuracy


@pytest.fixture
def data(tmp_path):
    small_checkpoint(tmp_path / "c.pt")
    # Of one colour are a and d: a network that learned nothing is right about the others.
    for name, each in (("train", 12), ("test", 4)):
        write_class_folders(tmp_path / name, ("a", "b", "c", "d"), each=each, seed=len(name))
    return tmp_path


def vote(data, *more, status=0, checkpoint="c.pt", train="train", test="test"):
    """Run the command on the CPU; give its record, or what it says."""
    given = ["--checkpoint", data / checkpoint] if checkpoint else []
    given += ["--train", data / train, "--test", data / test, "--device", "cpu", "--workers", 0]
    result = invoke(main, "knn", *given, "--json", *more, status=status)
    return json.loads(result.stdout) if status == 0 else " ".join(result.stderr.split())


def stored(data, folder, *more):
    """Write the features of a folder to a file beside it."""
    given = ["--checkpoint", data / "c.pt", "--images", data / folder, "--device", "cpu"]
    given += ["--workers", 0, "--out", data / f"{folder}.h5"]
    invoke(main, "features", *given, *more)
    return f"{folder}.h5"


def numbers(record):
    """Leave out what says only where and when."""
    kept = ("results", "temperature", "output", "size", "step", "classes", "bank", "protocol")
    return {name: record[name] for name in kept}


def test_files_give_the_numbers_of_their_folders_without_a_checkpoint(data):
    expected = numbers(vote(data))
    train, test = stored(data, "train"), stored(data, "test")
    for names in ({"train": train}, {"test": test}, {"train": train, "test": test}):
        assert numbers(vote(data, **names)) == expected
    record = vote(data, train=train, test=test, checkpoint=None)
    assert numbers(record) == expected
    assert (record["checkpoint"], record["train"]) == (str(data / "c.pt"), str(data / "train"))


def test_a_test_file_of_fewer_classes_is_numbered_as_the_training_images_are(data):
    for path in (data / "test" / "a").iterdir():
        path.unlink()
    (data / "test" / "a").rmdir()
    expected = numbers(vote(data))
    assert numbers(vote(data, test=stored(data, "test"))) == expected
    assert expected["results"][0]["per_class"]["a"] is None


@pytest.mark.parametrize(
    ("protocol", "output", "ks", "temperature"),
    [
        ("instdisc", "embedding", [40], 0.2),
        ("moco", "embedding", [40], 0.1),
        ("lightly", "pooled", [40], 0.1),
        ("solo", "pooled", [20], 0.07),
    ],
)
def test_a_protocol_sets_what_is_compared_and_how(data, protocol, output, ks, temperature):
    trained = {"recipe": {"method": "instdisc", "memory": {"temperature": 0.2}}}
    small_checkpoint(data / "c.pt", dilo={**trained})
    more = ("--size", 16, *(() if ks == [20] else ("--k", ks[0])))
    record = vote(data, "--protocol", protocol, *more)
    assert (record["protocol"], record["output"]) == (protocol, output)
    assert record["temperature"] == temperature
    encoder = load_encoder(data / "c.pt", size=16, output=output)
    bank, queries = (features(encoder, labelled_folder(data / n)) for n in ("train", "test"))
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


def test_options_override_a_protocol(data):
    more = ("--output", "pooled", "--k", "3", "--temperature", "0.5")
    record = vote(data, "--protocol", "moco", *more)
    assert (record["output"], record["temperature"]) == ("pooled", 0.5)
    assert [result["k"] for result in record["results"]] == [3]


def remember(data, change=lambda rows: rows, **dilo):
    """Put the embeddings of the training images into the checkpoint as its memory."""
    encoder, folder = (
        load_encoder(data / "c.pt", output="embedding"),
        labelled_folder(data / "train"),
    )
    content = torch.load(data / "c.pt")
    rows = change(features(encoder, folder).vectors)
    content["state_dict"]["module.memory"] = torch.nn.functional.normalize(rows)
    content["dilo"] |= {"images": folder.names.digest(), **dilo}
    torch.save(content, data / "c.pt")


def test_the_memory_of_training_votes_as_the_images_would(data):
    remember(data)
    (data / "train" / "a" / "0.png").write_bytes(b"")  # its row is there all the same
    record = vote(data, "--bank", "memory", "--k", "5")
    assert (record["bank"], record["output"], record["train_images"]) == ("memory", "embedding", 48)
    small_checkpoint(data / "c.pt")
    (data / "train" / "a" / "0.png").unlink()
    write_class_folders(data / "again", ("a", "b", "c", "d"), each=12, seed=len("train"))
    expected = vote(data, "--output", "embedding", "--k", "5", train="again")
    assert record["results"] == expected["results"]


def test_a_memory_whose_rows_are_not_the_images_of_the_folder_is_refused(data):
    remember(data, lambda rows: rows[1:])
    words = vote(data, "--bank", "memory", status=3)
    assert "got 48 images for 47 rows of memory: give the folder of its training" in words
    remember(data, images="ab" * 32)
    assert "got another list of images" in vote(data, "--bank", "memory", status=3)


def test_features_that_do_not_fit_in_memory_go_through_a_file(data, monkeypatch):
    expected = numbers(vote(data))
    monkeypatch.setattr(knn, "IN_MEMORY", 48 * 128 * 4 - 1)  # the training images', not the others'
    monkeypatch.setenv("TMPDIR", str(data / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (data / "scratch").mkdir()
    result = invoke(
        main,
        *("knn", "--checkpoint", data / "c.pt", "--train", data / "train", "--test", data / "test"),
        *("--device", "cpu", "--workers", 0, "--json"),
    )
    assert numbers(json.loads(result.stdout)) == expected
    (line,) = [line for line in result.stderr.splitlines() if "of features go through" in line]
    assert line.startswith(f"{data / 'train'}: 0.0 GB of features go through {data / 'scratch'}")
    assert not [*(data / "scratch").iterdir()]


def test_a_cache_is_read_again_for_the_same_network_only(data):
    cache = ("--cache", data / "cache" / "features")
    expected = numbers(vote(data, *cache))
    files = {path: path.stat().st_mtime_ns for path in (data / "cache" / "features").iterdir()}
    assert len(files) == 2
    assert expected == numbers(vote(data))
    assert numbers(vote(data, *cache)) == expected
    assert {p: p.stat().st_mtime_ns for p in (data / "cache" / "features").iterdir()} == files
    small_checkpoint(data / "c.pt", seed=1)
    assert numbers(vote(data, *cache)) == numbers(vote(data))
    assert len([*(data / "cache" / "features").iterdir()]) == 4


def test_files_of_two_networks_or_sizes_are_refused(data):
    train, test = stored(data, "train"), stored(data, "test", "--size", 24)
    words = vote(data, train=train, test=test, checkpoint=None, status=3)
    assert "must come from one network in one way, got size 16 and 24: make one" in words
    words = vote(data, train=train, test=test, status=3)
    assert f"features of {data / 'test'} must be what the checkpoint makes, got size 24" in words
    small_checkpoint(data / "c.pt", seed=1)
    assert f"got checkpoint {data / 'c.pt'} (weights " in vote(data, train=train, status=3)


def test_a_file_of_another_output_than_the_protocols_is_refused(data):
    names = {"train": stored(data, "train"), "test": stored(data, "test"), "checkpoint": None}
    words = vote(data, "--protocol", "moco", "--k", "3", **names, status=3)
    assert "must be embedding, got pooled in the files: give --output pooled, or make" in words
    record = vote(data, "--protocol", "moco", "--k", "3", "--output", "pooled", **names)
    assert record["temperature"] == 0.1


def test_a_file_without_classes_is_refused(data):
    write_features(data / "f.h5", chosen_features(torch.ones(2, 3), [-1, -1], ()))
    for names in ({"train": "f.h5"}, {"test": "f.h5"}):
        assert "f.h5 must hold features of images in class folders" in vote(data, **names, status=3)


@pytest.mark.parametrize(
    ("more", "names", "words"),
    [
        pytest.param((), {"checkpoint": None}, "--checkpoint must be given", id="no network"),
        pytest.param((), {"test": "train"}, "every image would find itself", id="itself"),
        pytest.param(("--bank", "memory", "--output", "pooled"), {}, "embeddings", id="pooled"),
        pytest.param(("--bank", "memory"), {"train": "c.pt"}, "of a folder", id="memory of a file"),
        pytest.param(("--protocol", "lightly"), {}, "at most 48, .* got 200", id="too few images"),
    ],
)
def test_what_does_not_go_together_exits_with_2(data, more, names, words):

    assert re.search(words, vote(data, *more, **names, status=2))


def test_a_file_that_is_no_file_of_features_is_refused(data):
    assert "c.pt must be a whole file of features" in vote(data, train="c.pt", status=3)
