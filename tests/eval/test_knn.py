"""What kNN takes, refuses and records; presets of others, as their code has them."""

import dataclasses
import math

import pytest
import torch
from support.features import SOURCE, chosen_features

from dilo.eval.features.file import open_features, write_features
from dilo.eval.knn import PROTOCOLS, knn_record, knn_table, require_comparable
from dilo.pipeline.errors import DiloError
from dilo.train.recipes import load_recipe

CLASSES = ("ant", "bee", "cat")
BANK_LABELS, QUERY_LABELS = [i % 3 for i in range(40)], [i % 2 for i in range(9)]


def drawn(count, seed):
    """Draw rows of four columns."""
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def literal(bank, queries, k, temperature):
    """Vote as section 3.4 of InstDisc reads, one query and one neighbour at a time."""
    hits = {0: [], 1: []}
    for query, truth in zip(queries.tolist(), QUERY_LABELS, strict=True):
        near = []
        for row, label in zip(bank.tolist(), BANK_LABELS, strict=True):
            dot = sum(a * b for a, b in zip(query, row, strict=True))
            near.append((dot / math.hypot(*query) / math.hypot(*row), label))
        votes = dict.fromkeys(range(3), 0.0)
        for similarity, label in sorted(near, reverse=True)[:k]:
            votes[label] += math.exp(similarity / temperature)
        hits[truth].append(max(votes, key=votes.get) == truth)
    return hits


@pytest.mark.parametrize("kept", ["in memory", "in files"])
def test_the_record_holds_what_the_paper_read_literally_gives(tmp_path, kept):
    bank, queries = drawn(40, 0), drawn(9, 1)
    found = [
        chosen_features(bank, BANK_LABELS, CLASSES),
        chosen_features(queries, QUERY_LABELS, CLASSES),
    ]
    if kept == "in files":
        for number, part in enumerate(found):
            write_features(tmp_path / f"{number}.h5", part)
        found = [open_features(tmp_path / f"{number}.h5") for number in range(2)]
    record = knn_record(*found, ks=(1, 7), temperature=0.2, device=torch.device("cpu"))
    for result, k in zip(record["results"], (1, 7), strict=True):
        hits = literal(bank, queries, k, 0.2)
        assert result["k"] == k
        assert result["top1"] == pytest.approx(100 * sum(sum(h) for h in hits.values()) / 9)
        assert result["per_class"] == {
            "ant": pytest.approx(100 * sum(hits[0]) / 5),
            "bee": pytest.approx(100 * sum(hits[1]) / 4),
            "cat": None,
        }
    assert (record["train_images"], record["test_images"], record["classes"]) == (40, 9, 3)
    assert (record["layer"], record["checkpoint"], record["step"]) == ("pooled", "c.pt", 7)
    assert knn_table(record)[0] == (
        "weighted kNN, pooled, temperature 0.2: 9 test images against 40 training images, 3 classes"
    )


def test_features_of_two_networks_are_not_compared():
    bank = chosen_features(drawn(3, 0), [0, 1, 2], CLASSES)
    other = dataclasses.replace(SOURCE, checkpoint="d.pt", weights="cd" * 32, size=24)
    queries = chosen_features(drawn(3, 0), [0, 1, 2], CLASSES, other)
    require_comparable(bank, bank, "pooled")
    words = r"got checkpoint c\.pt \(weights abababab\) and d\.pt \(weights cdcdcdcd\); size 16 and"
    with pytest.raises(DiloError, match=words):
        require_comparable(bank, queries, "pooled")


def test_features_of_another_output_than_the_protocols_are_refused():
    bank = chosen_features(drawn(3, 0), [0, 1, 2], CLASSES)
    with pytest.raises(DiloError, match="must be embedding, got pooled in the files: give --layer"):
        require_comparable(bank, bank, "embedding")


def test_top_five_is_told_only_where_five_of_more_classes_can_have_a_vote():
    classes = tuple("abcdef")
    bank = chosen_features(drawn(12, 0), [*range(6)] * 2, classes)
    queries = chosen_features(drawn(6, 1), [*range(6)], classes)
    record = knn_record(
        bank, queries, ks=(1, 4, 5, 12), temperature=0.2, device=torch.device("cpu")
    )
    told = {result["k"]: result["top5"] for result in record["results"]}
    assert [k for k, top5 in told.items() if top5 is None] == [1, 4]
    lines = knn_table(record)
    assert lines[2].endswith(" %      -")
    assert lines[-1] == "chance   16.7 %   83.3 %"
    few = [chosen_features(drawn(5, seed), [*range(5)], classes[:5]) for seed in (0, 1)]
    record = knn_record(*few, ks=(5,), temperature=0.2, device=torch.device("cpu"))
    assert record["results"][0]["top5"] is None
    assert knn_table(record)[-1] == "chance   20.0 %      -"


@pytest.mark.parametrize(
    ("name", "layer", "ks", "temperature"),
    [
        ("dilo", "pooled", (1, 20, 200), 0.07),
        ("instdisc", "embedding", (200,), 0.07),
        ("moco", "embedding", (200,), 0.1),
        ("lightly", "pooled", (200,), 0.1),
        ("solo", "pooled", (20,), 0.07),
    ],
)
def test_a_protocol_is_what_is_published(name, layer, ks, temperature):
    found = PROTOCOLS[name]
    assert (found.layer, found.ks) == (layer, ks)
    assert found.temperature_for({}) == temperature


@pytest.mark.parametrize(
    ("recipe", "temperature"),
    [("instdisc", 0.07), ("cmc-small", 0.1), ("moco-v2", 0.2), ("simclr-small", 0.5)],
)
def test_instdisc_votes_with_the_temperature_of_training_and_others_with_their_own(
    recipe, temperature
):
    trained = dataclasses.asdict(load_recipe(recipe, []))
    assert PROTOCOLS["instdisc"].temperature_for(trained) == temperature
    assert PROTOCOLS["lightly"].temperature_for(trained) == 0.1


@pytest.mark.parametrize("odd", [None, "warm", 0, -1.0, float("nan")])
def test_a_temperature_that_a_foreign_recipe_garbles_is_not_taken(odd):
    recipe = {"method": "instdisc", "memory": {"temperature": odd}}
    assert PROTOCOLS["instdisc"].temperature_for(recipe) == 0.07
