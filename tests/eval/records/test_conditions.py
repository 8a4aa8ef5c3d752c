"""How numbers were measured: what differs is named, what is not told forbids nothing."""

import pytest
from support.reports import backgrounds, knn, linear

from dilo.eval.records.conditions import conditions, incomparable


def test_records_that_were_measured_alike_differ_in_nothing():
    assert not incomparable("knn", {"a": knn(50.0), "b": knn(60.0)})
    assert not incomparable("backgrounds", {"a": backgrounds("a"), "b": backgrounds("b")})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": 7}, "other step of the checkpoint (a 1764, b 7)"),
        ({"size": 32}, "other side of the crops, pixels (a 64, b 32)"),
        ({"temperature": 0.1}, "other temperature (a 0.07, b 0.1)"),
        ({"protocol": "moco"}, "other protocol (a dilo, b moco)"),
        ({"layer": "embedding"}, "other features (a pooled, b embedding)"),
        ({"classes": 9}, "other classes (a 4, b 9)"),
    ],
)
def test_what_differs_is_named_with_its_values(change, sentence):
    (found,) = incomparable("knn", {"a": knn(), "b": knn(**change)})
    assert found.sentence() == sentence


def images(folder, letter):
    return {"folder": folder, "digest": letter * 64}


def test_images_are_compared_by_their_digest_and_named_by_their_folder():
    first = knn(inputs={"test": images("/data/imagenette/val", "a")})
    second = knn(inputs={"test": images("/data/imagewoof/val", "b")})  # as many, of other names
    (condition,) = incomparable("knn", {"dilo": first, "moco": second})
    assert condition.sentence() == ("other test images (dilo imagenette/val, moco imagewoof/val)")


def test_one_folder_spelled_in_two_ways_is_one():
    first = knn(inputs={"test": images("val", "a")})
    second = knn(inputs={"test": images("/data/imagenette/val", "a")}, test_images=3900)
    assert not incomparable("knn", {"a": first, "b": second})


def test_folders_of_one_name_are_told_apart_by_their_digest():
    first = knn(inputs={"test": images("/a/val", "a")})
    second = knn(inputs={"test": images("/b/a/val", "b")})
    (condition,) = incomparable("knn", {"a": first, "b": second})
    assert condition.sentence() == "other test images (a a/val aaaaaaaa, b a/val bbbbbbbb)"


def test_a_step_that_was_chosen_forbids_nothing():
    records = {"untrained": knn(step=0), "moco": knn(step=200)}
    assert incomparable("knn", records)
    assert not incomparable("knn", records, chosen=["untrained"])


def test_what_one_does_not_tell_forbids_nothing():
    assert not incomparable("knn", {"a": knn(), "b": knn(step=None)})


def test_a_protocol_is_all_of_its_numbers():
    other = linear()
    other["protocol"] = {**other["protocol"], "epochs": 100}
    (found,) = incomparable("linear", {"a": linear(), "b": other})
    assert found.values["b"] == "name moco, epochs 100, milestones 12.0 16.0"


def test_a_temperature_belongs_to_knn_alone():
    record = {"temperature": 0.1}
    assert [s.words for s in conditions("knn", {"a": record})] == ["temperature"]
    assert not conditions("linear", {"a": record})
