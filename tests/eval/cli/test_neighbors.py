"""`dilo-eval neighbors`: from folders and checkpoints to a picture and a record."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from support.classifiers import MODEL, write_classifier
from support.cli import invoke
from support.folders import write_class_folders

from dilo.eval.cli import main
from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.images import decode
from dilo.train.networks.encoder import build_network

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def data(tmp_path):
    """Write two checkpoints, one of them in a run, images and queries."""
    write_classifier(tmp_path / "run" / "checkpoints" / "step-00000007.pt", CLASSES)
    write_classifier(tmp_path / "other.pt", CLASSES, seed=1)
    write_class_folders(tmp_path / "images", CLASSES, each=4, seed=1)
    write_class_folders(tmp_path / "queries", CLASSES[:2], each=2, seed=2)
    return tmp_path


def show(data, *more, status=0, checkpoints=("run",), images="images"):
    given = [word for name in checkpoints for word in ("--checkpoint", data / name)]
    given += ["--images", data / images, "--device", "cpu", "--workers", 0]
    return invoke(main, "neighbors", *given, *more, status=status)


def test_a_runs_neighbours_are_laid_into_the_run(data):
    result = show(data, "--json", "--count", 5, "--k", 2)
    folder = data / "run" / "eval" / "neighbors"
    assert (folder / "neighbors.json").read_text() == result.stdout
    record = json.loads(result.stdout)
    assert (
        record["query_images"] == record["images"] == {"folder": str(data / "images"), "count": 12}
    )
    assert record["checkpoints"][0]["precision"] == 100.0  # colours, which anything tells apart
    assert record["chance"] == pytest.approx(100 * 3 / 11)
    assert {"seconds", "versions"} <= record.keys()
    assert record["pick"] == "random"
    assert len(record["queries"]) == 5
    assert all(len(q["checkpoints"][0]["neighbors"]) == 2 for q in record["queries"])
    for query in record["queries"]:
        assert query["path"] not in [n["path"] for n in query["checkpoints"][0]["neighbors"]]
    assert decode(folder / "neighbors.png").shape[1] > 400
    table = show(data, "--count", 5, "--k", 2).stdout.splitlines()
    assert table[0] == "12 queries against 12 images, 3 classes"
    assert table[2].split()[:3] == ["run", "100.0", "%"]


def test_neighbours_are_the_nearest_by_the_features_of_each_checkpoint(data):
    names, out = ("run", "other.pt"), data / "new" / "fig.png"
    show(data, "--queries", data / "queries", "--count", 99, "--out", out, checkpoints=names)
    record = json.loads(out.with_suffix(".json").read_text())
    assert out.exists()
    assert [q["path"] for q in record["queries"]] == list(labelled_folder(data / "queries").names)
    for number, name in enumerate(names):
        encoder = load_encoder(data / name)
        bank = extract_features(encoder, labelled_folder(data / "images"))
        asked = extract_features(encoder, labelled_folder(data / "queries"))
        cosines = torch.cosine_similarity(asked.vectors[:, None], bank.vectors[None], 2)
        for row, query in enumerate(record["queries"]):
            expected = cosines[row].argsort(descending=True)[:3].tolist()
            found = query["checkpoints"][number]["neighbors"]
            assert [n["path"] for n in found] == [bank.paths[i] for i in expected]
            for i, neighbor in zip(expected, found, strict=True):
                assert neighbor["similarity"] == pytest.approx(float(cosines[row, i]), abs=1e-4)


def test_files_of_features_serve_in_the_place_of_folders(data):
    names = ("images", "queries")
    for name in names:
        arguments = ("--images", data / name, "--out", data / f"{name}.h5", "--workers", 0)
        invoke(main, "features", "--checkpoint", data / "run", *arguments, "--device", "cpu")
    show(data, "--queries", data / "queries", "--count", 99, "--out", data / "folders")
    files = ("--queries", data / "queries.h5", "--count", 99, "--out", data / "files")
    result = show(data, *files, images="images.h5")
    assert f"{data / 'images'}: features of 12 images" in result.stderr
    folders, read = (
        json.loads((data / place / "neighbors.json").read_text()) for place in ("folders", "files")
    )
    assert read["queries"] == folders["queries"]
    assert read["checkpoints"] == folders["checkpoints"]
    pictures = [decode(data / place / "neighbors.png") for place in ("folders", "files")]
    assert np.array_equal(*pictures)


def test_features_of_one_checkpoint_do_not_serve_another(data):
    given = ("--checkpoint", data / "run", "--images", data / "images", "--device", "cpu")
    invoke(main, "features", *given, "--out", data / "images.h5", "--workers", 0)
    out = ("--out", data / "figure")
    result = show(data, *out, checkpoints=("run", "other.pt"), images="images.h5", status=3)
    assert "must be what the checkpoint makes, got" in result.stderr


def test_embeddings_are_compared_where_they_are_asked_for(data):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        headed = build_network(dataclasses.replace(MODEL, head="linear", dim=8))
    state = {f"module.encoder_q.{name}": value for name, value in headed.state_dict().items()}
    torch.save({"arch": "resnet18", "state_dict": state}, data / "headed.pt")
    more = (
        "--size",
        16,
        "--layer",
        "embedding",
        "--queries",
        data / "queries",
        "--out",
        data / "out",
        "--json",
    )
    record = json.loads(show(data, *more, checkpoints=("headed.pt",)).stdout)
    encoder = load_encoder(data / "headed.pt", size=16, layer="embedding")
    assert encoder.model.dim == 8
    bank = extract_features(encoder, labelled_folder(data / "images"))
    asked = extract_features(encoder, labelled_folder(data / "queries"))
    assert record["layer"] == "embedding"
    for row, query in enumerate(record["queries"]):
        cosines = torch.cosine_similarity(asked.vectors[row], bank.vectors, 1)
        nearest = query["checkpoints"][0]["neighbors"][0]
        assert nearest["similarity"] == pytest.approx(float(cosines.max()), abs=1e-4)


def test_queries_are_taken_by_path_in_the_order_that_is_given(data):
    wanted = ["cat/1.png", data / "images" / "ant" / "0.png"]
    out = data / "out"
    show(data, "--query", wanted[0], "--query", wanted[1], "--out", out)
    record = json.loads((out / "neighbors.json").read_text())
    assert [q["path"] for q in record["queries"]] == ["cat/1.png", "ant/0.png"]
    assert record["pick"] == "query"


def test_gradients_stand_beside_the_neighbours_of_their_checkpoint(data):
    run = data / "run" / "checkpoints" / "step-00000007.pt"
    show(data, "--count", 2, "--out", data / "plain")
    show(data, "--count", 2, "--out", data / "both", "--classifier", run)
    first, second = (decode(data / name / "neighbors.png") for name in ("plain", "both"))
    assert second.shape[1] > first.shape[1]
    left = first.shape[1] - 16  # without its margin
    assert np.array_equal(second[:, :left], first[:, :left])


def test_unreadable_images_are_skipped_and_reported(data):
    (data / "images" / "ant" / "2.png").write_bytes(b"no image")
    result = show(data, "--json", "--out", data / "out", "--count", 99, "--k", 1)
    record = json.loads(result.stdout)
    assert [one["path"] for one in record["skipped"]] == [str(data / "images/ant/2.png")]
    assert len(record["queries"]) == 11
    assert "ant/2.png: not an image" in result.stderr


def test_images_without_class_folders_have_neighbours_and_no_precision(data):
    result = show(data, "--out", data / "out", "--json", images="images/ant")
    record = json.loads(result.stdout)
    assert record["chance"] is None
    assert record["classes"] == 0
    assert len(record["queries"]) == 4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--pick", "successes"), "compares two checkpoints, got one", id="one"),
        pytest.param(("--pick", "random", "--query", "x"), "not be given with --query", id="both"),
        pytest.param(("--classifier", "x={run}"), "name of a checkpoint, run, got x", id="name"),
        pytest.param(("--k", "0"), "x>=1", id="k"),
        pytest.param(("--out", "{images}/new"), "outside the folders that are read", id="out"),
    ],
)
def test_a_wrong_option_exits_with_2_and_writes_nothing(data, more, words):
    places = {"images": data / "images", "run": data / "run"}
    result = show(data, *(word.format(**places) for word in more), status=2)
    # click may break the line inside of a path
    assert words.format(**places).replace(" ", "") in "".join(result.stderr.split())
    assert not (data / "run" / "eval").exists()


def test_successes_without_classes_exit_with_3(data):
    two = ("run", "other.pt")
    more = ("--pick", "successes", "--out", data / "out")
    result = show(data, *more, status=3, checkpoints=two, images="images/ant")
    assert "needs images in class folders" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--queries", "{data}/none"), "images", id="no-queries"),
        pytest.param(("--query", "ant/9.png"), "got ant/9.png: give its path", id="no-image"),
    ],
)
def test_what_cannot_go_on_exits_with_3(data, more, words):
    (data / "none").mkdir()
    result = show(data, *(str(word).format(data=data) for word in more), status=3)
    assert words in result.stderr


def test_a_k_beyond_all_images_is_refused_before_any_work(data):
    (data / "run" / "checkpoints" / "step-00000007.pt").write_bytes(b"not even looked at")
    assert "--k must be at most 11" in show(data, "--k", 12, status=3).stderr


def test_where_a_result_goes_must_be_said_of_two_checkpoints(data):
    result = show(data, status=3, checkpoints=("run", "other.pt"))
    assert "--out must say where the result goes" in result.stderr


def test_neighbours_of_other_images_or_settings_go_beside_with_their_picture(data):
    folder = data / "run" / "eval" / "neighbors"
    show(data, "--count", 2)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = show(data, "--count", 2, "--k", 2)
    assert f"this one goes to {folder}-{data.name}" in result.stderr
    result = show(data, "--count", 2, "--queries", data / "queries")
    assert f"this one goes to {folder}-queries" in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.name for path in (data / "run" / "eval" / "neighbors-queries").iterdir()} == {
        "neighbors.json",
        "neighbors.png",
    }


def test_a_picture_that_the_user_named_replaces_none_of_other_images_and_no_photograph(data):
    out = data / "figure.png"
    show(data, "--count", 2, "--out", out)
    before = out.read_bytes()
    show(data, "--count", 2, "--queries", data / "queries", "--out", out)
    assert out.read_bytes() == before
    assert (data / "figure-queries.png").exists()
    assert (data / "figure-queries.json").exists()
    photograph = data / "mine.png"
    photograph.write_bytes(b"mine")
    result = show(data, "--out", photograph, status=2)
    assert "would be lost" in " ".join(result.stderr.split())
    assert photograph.read_bytes() == b"mine"


def test_what_a_folder_holds_is_said_once_for_all_checkpoints(data):
    more = ("--count", 1, "--out", data / "out")
    result = show(data, *more, checkpoints=("run", "other.pt"))
    assert result.stderr.count(f"{data / 'images'}: 12 images in 3 classes") == 1
