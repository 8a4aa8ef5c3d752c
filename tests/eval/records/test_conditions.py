"""How numbers were measured: what differs is named, what is not told forbids nothing."""

import pytest
from support.reports import backgrounds, knn, linear

from dilo.eval.records.conditions import differing, settings


def test_records_that_were_measured_alike_differ_in_nothing():
    assert not differing("knn", {"a": knn(50.0), "b": knn(60.0)})
    assert not differing("backgrounds", {"a": backgrounds("a"), "b": backgrounds("b")})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": 7}, "other step of the checkpoint (a 1764, b 7)"),
        ({"size": 32}, "other side of the crops, pixels (a 64, b 32)"),
        ({"temperature": 0.1}, "other temperature (a 0.07, b 0.1)"),
        ({"protocol": "moco"}, "other protocol (a dilo, b moco)"),
        ({"output": "embedding"}, "other output of the network (a pooled, b embedding)"),
        ({"test_images": 10}, "other test images (a 3925, b 10)"),
        ({"train_images": 10}, "other training images (a 9469, b 10)"),
        ({"classes": 9}, "other classes (a 4, b 9)"),
    ],
)
def test_what_differs_is_named_with_its_values(change, sentence):
    (found,) = differing("knn", {"a": knn(), "b": knn(**change)})
    assert found.sentence() == sentence


def test_what_one_does_not_tell_forbids_nothing():
    assert not differing("knn", {"a": knn(), "b": knn(step=None)})


def test_a_protocol_is_all_of_its_numbers():
    other = linear()
    other["protocol"] = {**other["protocol"], "epochs": 100}
    (found,) = differing("linear", {"a": linear(), "b": other})
    assert found.values["b"] == "name moco, epochs 100, milestones 12.0 16.0"


def test_a_temperature_belongs_to_knn_alone():
    record = {"temperature": 0.1}
    assert [s.words for s in settings("knn", {"a": record})] == ["temperature"]
    assert not settings("linear", {"a": record})
