"""Checkpoints side by side: what is picked, what is counted, what the record says."""

from pathlib import Path

import pytest
import torch
from support.features import features_of_all

from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.encoder import Encoder
from dilo.eval.neighbors.comparison import compare
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names

COUNT = 24


def encoder(name):
    return Encoder(torch.nn.Identity(), 16, Path(f"{name}.pt"), step=7)


def folder(count=COUNT, root="images"):
    names = Names(f"{'ab'[i % 2]}/{i}.png" for i in range(count))
    return LabelledFolder(Path(root), names, torch.arange(count) % 2, ("a", "b"))


def extract(encoder, listed):
    """Give features that tell classes for one checkpoint, and none for the other's odd half."""
    labels = listed.labels.float()
    if encoder.source.stem == "blind":
        labels[len(labels) // 2 :] = 1 - labels[len(labels) // 2 :]
    noise = torch.rand(len(labels), 2, generator=torch.Generator().manual_seed(0)) / 50
    vectors = torch.stack([labels, 1 - labels], 1) + noise
    return features_of_all(listed, vectors)


@pytest.fixture
def comparison():
    """Compare, over the other half as bank, a checkpoint that sees and one that half does."""
    encoders = {"sees": encoder("sees"), "blind": encoder("blind")}
    bank = LabelledFolder(Path("bank"), folder(10).names, folder(10).labels, folder(10).classes)

    def by(encoder, listed):
        seen = Encoder(encoder.network, 16, Path("sees.pt"))
        return extract(seen if listed is bank else encoder, listed)

    return compare(encoders, bank, folder(), k=3, extract=by)


def test_successes_are_where_the_first_is_right_and_the_second_wrong(comparison):
    assert comparison.results[0].right.all()
    assert comparison.results[1].right.tolist() == [i < COUNT // 2 for i in range(COUNT)]
    picked = comparison.select_queries("successes", count=5, seed=0)
    assert len(picked) == 5
    assert all(row >= COUNT // 2 for row in picked)
    assert comparison.select_queries("successes", count=99, seed=0) == list(
        range(COUNT // 2, COUNT)
    )
    with pytest.raises(DiloError, match="where blind is right and sees wrong, got none of 24"):
        comparison.select_queries("failures", count=5, seed=0)


def test_picks_at_random_hang_on_the_seed_alone(comparison):
    first = comparison.select_queries("random", count=6, seed=1)
    assert first == sorted(set(first)) == comparison.select_queries("random", count=6, seed=1)
    assert len(first) == 6
    assert first != comparison.select_queries("random", count=6, seed=2)


def test_chance_is_the_mean_share_of_the_querys_class():
    counts = {"a": 5, "b": 2}
    names = Names(f"{name}/{i}.png" for name, count in counts.items() for i in range(count))
    labels = torch.tensor([0] * 5 + [1] * 2)
    listed = LabelledFolder(Path("images"), names, labels, ("a", "b"))
    itself = compare({"x": encoder("x")}, listed, None, k=1, extract=extract)
    assert itself.chance() == pytest.approx(100 * (5 * 4 / 6 + 2 * 1 / 6) / 7)
    asked = compare({"x": encoder("x")}, listed, folder(3, "queries"), k=1, extract=extract)
    assert asked.chance() == pytest.approx(100 * (5 / 7 + 2 / 7 + 5 / 7) / 3)


def test_the_record_tells_every_checkpoint_and_every_query_shown(comparison):
    record = comparison.record([1, 20])
    assert {k: record[k] for k in ("task", "checkpoint", "step", "size", "k", "classes")} == {
        "task": "neighbors",
        "checkpoint": None,
        "step": 7,
        "size": 16,
        "k": 3,
        "classes": 2,
    }
    assert record["vote"] == {"k": 10, "temperature": 0.07}
    assert record["images"] == {"folder": "bank", "count": 10}
    assert record["query_images"] == {"folder": "images", "count": COUNT}
    assert record["checkpoints"] == [
        {
            "name": name,
            "checkpoint": f"{name}.pt",
            "step": 7,
            "size": 16,
            "precision": score,
            "accuracy": score,
        }
        for name, score in (("sees", 100.0), ("blind", 50.0))
    ]
    assert [(q["path"], q["class"]) for q in record["queries"]] == [
        ("b/1.png", "b"),
        ("a/20.png", "a"),
    ]
    sees, blind = record["queries"][1]["checkpoints"]
    assert (sees["vote"], sees["right"], blind["vote"], blind["right"]) == ("a", True, "b", False)
    for number, one in enumerate((sees, blind)):
        row = comparison.results[number].rows[20, :3].tolist()
        assert [n["path"] for n in one["neighbors"]] == [comparison.bank.names[i] for i in row]
        assert [n["class"] for n in one["neighbors"]] == [one["vote"]] * 3
        assert all(-1 <= n["similarity"] <= 1.001 for n in one["neighbors"])


def test_without_classes_the_record_has_no_precision():
    listed = LabelledFolder(Path("images"), folder(9).names, torch.full((9,), -1), ())
    record = compare({"x": encoder("x")}, listed, None, k=2, extract=extract).record([0])
    assert record["chance"] is record["checkpoints"][0]["precision"] is None
    (one,) = record["queries"][0]["checkpoints"]
    assert one["vote"] is one["right"] is one["neighbors"][0]["class"] is None


def test_images_that_change_between_two_checkpoints_are_refused():
    def changing(encoder, listed):
        if encoder.source.stem == "blind":
            listed = LabelledFolder(
                listed.root, listed.names[1:], listed.labels[1:], listed.classes
            )
        return extract(encoder, listed)

    encoders = {"sees": encoder("sees"), "blind": encoder("blind")}
    with pytest.raises(DiloError, match="images must stay as they are, but blind could read"):
        compare(encoders, folder(), None, k=1, extract=changing)
