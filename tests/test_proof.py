"""The proof, tiny: its pictures, answers and table; what the programs do is tested elsewhere."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import proof
import proof_answers
import proof_pictures
import pytest
import torch
from PIL import Image
from programs import call
from support.cli import invoke
from support.photographs import photograph

from dilo.eval.cli import main as evaluation
from dilo.pipeline.compute import executors
from dilo.pipeline.errors import DiloError

CLASSES = ("ant", "bee", "cat")


def write_photographs(root: Path, classes: tuple[str, ...] = CLASSES, each: int = 6) -> Path:
    """Write photographs large enough to cut backgrounds out of."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(each):
            pixels = photograph(10 * number + index, 120, 200)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module", autouse=True)
def _in_this_process():
    """Run all programs here, one after the other, which spares the seconds of their starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof, "run", lambda program, *words, env, stderr: call(program, *words))
        patch.setattr(proof.os, "cpu_count", lambda: 1)
        patch.setattr(
            executors,
            "_run_in_processes",
            lambda work, shards, workers, isolated: executors._run_in_threads(work, shards, 1),
        )
        yield


@pytest.fixture(scope="module")
def experiment(module_folder):
    """Run all of the tiny experiment once."""
    images, test = (write_photographs(module_folder / name) for name in ("images", "test"))
    out = module_folder / "proof"
    proof.prove(images, test, out, proof.TINY)
    return images, test, out


def composed(out: Path, kind: str) -> list[proof_pictures.Composed]:
    rows = json.loads((out / "pictures" / f"{kind}.json").read_text())
    return [proof_pictures.Composed(*row) for row in rows]


def test_a_tiny_proof_leaves_pictures_and_numbers_and_does_nothing_again(experiment, capfd):
    images, test, out = experiment
    for name in ("composed.png", "views.png", "results.png", "retrieval-0/retrieval.png"):
        with Image.open(out / name) as picture:
            assert picture.width > 100
    record = json.loads((out / "results.json").read_text())
    assert [set(measure["networks"]) for measure in record["measures"]] == [
        set(proof_answers.NETWORKS)
    ] * len(record["measures"])
    assert record["tiny"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")}
    assert before
    proof.prove(images, test, out, proof.TINY)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")} == before
    assert json.loads((out / "results.json").read_text()) == record
    assert "dilo-eval features" not in capfd.readouterr().out


def test_no_object_stands_on_a_background_of_its_own_class_or_photograph(experiment):
    *_, out = experiment
    for kind in ("lying", "fair", "test"):
        pictures = composed(out, kind)
        assert {one.label("object") for one in pictures} == set(CLASSES)
        assert all(one.label("object") != one.label("background") for one in pictures)
        assert all((out / "pictures" / kind / one.path).exists() for one in pictures)


def test_neighbours_vote_as_in_dilo_eval_knn(experiment):
    *_, out = experiment
    folder = out / "networks" / "with-paste-0"
    bank, queries = (folder / "features" / f"{kind}-object.h5" for kind in ("lying", "test"))
    k = min(proof_answers.K, len(composed(out, "lying")))
    printed = invoke(evaluation, "knn", "--train", bank, "--test", queries, "--k", k, "--json")
    top1 = json.loads(printed.stdout)["results"][0]["top1"]
    record = json.loads((out / "results.json").read_text())
    question = "kNN on lying pictures, object"
    (measure,) = (one for one in record["measures"] if one["question"] == question)
    assert measure["networks"]["with paste"]["seeds"] == [pytest.approx(top1)]


def test_partners_are_other_classes_and_no_class_is_the_partner_of_two():
    for count in range(3, 12):
        classes = [f"class{number}" for number in range(count)]
        partners = proof_pictures.pair_classes(classes)
        assert sorted(partners) == sorted(partners.values()) == sorted(classes)
        assert all(partner != name for name, partner in partners.items())


def test_backgrounds_lie_in_95_of_100_and_are_fair_otherwise():
    partners = {"ant": "bee", "bee": "cat", "cat": "dog", "dog": "ant"}
    rng = np.random.default_rng(0)
    lies = Counter(proof_pictures.lying(partners, rng, "ant") for _ in range(4000))
    assert lies.keys() == {"bee", "cat", "dog"}
    assert lies["bee"] / 4000 == pytest.approx(0.95, abs=0.015)
    fair = Counter(proof_pictures.fair(partners, rng, "ant") for _ in range(3000))
    assert fair.keys() == {"bee", "cat", "dog"}
    assert all(count == pytest.approx(1000, abs=120) for count in fair.values())


def test_a_difference_is_paired_over_images_and_over_seeds():
    answers = {
        "untrained": [[0.0, 0.0, 0.0, torch.nan], [0.0, 0.0, 0.0, torch.nan]],
        "without paste": [[1.0, 0.0, 0.0, torch.nan], [1.0, 0.0, 0.0, torch.nan]],
        "with paste": [[1.0, 1.0, 0.0, torch.nan], [1.0, 1.0, 1.0, torch.nan]],
    }
    by_network = {
        name: [{"question": torch.tensor(hits, dtype=torch.float64)} for hits in seeds]
        for name, seeds in answers.items()
    }
    measure = proof_answers.compare("question", by_network)
    assert measure["networks"]["with paste"]["mean"] == pytest.approx(250 / 3)
    difference = measure["difference"]
    assert difference["seeds"] == [pytest.approx(100 / 3), pytest.approx(200 / 3)]
    # Image by image 0, 1 and 1/2: their mean, and 1.96 times its standard error.
    reach = 196 * np.sqrt(np.var([0, 1, 0.5]) / 3)
    assert difference["interval_over_images"] == pytest.approx([50 - reach, 50 + reach], rel=1e-3)
    # Student's t of one degree of freedom.
    reach = 12.706 * (100 / 3) / np.sqrt(2) / np.sqrt(2)
    assert difference["interval_over_seeds"] == pytest.approx([50 - reach, 50 + reach], rel=1e-3)


def test_a_training_beside_another_that_fails_says_which_log_says_why(tmp_path, monkeypatch):
    def fail(program, *words, env, stderr):
        if stderr is not None:
            raise SystemExit(3)

    monkeypatch.setattr(proof, "run", fail)
    monkeypatch.setattr(proof.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(proof.torch.cuda, "is_available", lambda: False)
    with pytest.raises(DiloError, match=r"training with paste of seed 0 .* 3: .*lane-1.log says"):
        proof.train_all(tmp_path, (), range(1))


def test_folders_that_make_no_experiment_are_refused_in_words(tmp_path):
    two = write_photographs(tmp_path / "two", CLASSES[:2], each=1)
    three = write_photographs(tmp_path / "three", each=1)
    with pytest.raises(DiloError, match=r"two must hold at least 3 class folders, .* got 2: give"):
        proof_pictures.require_classes(two, two)
    with pytest.raises(DiloError, match="must hold the same class folders, got 3 and 2: cat in"):
        proof_pictures.require_classes(three, two)
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.fromarray(photograph(0)).save(flat / "one.png")
    with pytest.raises(DiloError, match="flat must hold a folder for each class"):
        proof_pictures.require_classes(flat, three)


def test_a_class_without_objects_is_refused_in_words(tmp_path):
    images = write_photographs(tmp_path / "images", each=2)
    with pytest.raises(DiloError, match=r"images/ant must give at least 9 objects, got .: give"):
        proof_pictures.photographs(images, tmp_path / "out", least=9)
