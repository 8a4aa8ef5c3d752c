"""Classes: each folder one, in the order that its name means."""

import pytest

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.labels import class_remarks, labels_of, sorted_by_number, sorted_classes
from dilo.pipeline.images.names import Names


def test_classes_named_by_whole_numbers_are_sorted_as_numbers():
    names = Names(f"{i}/a.jpg" for i in (0, 1, 10, 11, 2))
    found = labels_of(names, "x")
    assert found.classes == ("0", "1", "2", "10", "11")
    assert found.numbers.tolist() == [0, 1, 3, 4, 2]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "9", "a"], ["10", "9", "a"]),  # not all are numbers
        (["10", "09", "8"], ["8", "09", "10"]),
        (["010", "009", "008"], ["008", "009", "010"]),
        (["1", "01", "0"], ["0", "01", "1"]),
        (["-1", "10", "2"], ["-1", "10", "2"]),
        (["\u0663", "10", "2"], ["10", "2", "\u0663"]),  # a digit, but none of ours
    ],
)
def test_only_whole_numbers_are_sorted_as_numbers(names, order):
    assert sorted_classes(names) == order
    assert sorted_classes(reversed(names)) == order


def test_the_order_is_said_where_it_is_not_that_of_text():
    many = sorted_classes(map(str, range(12)))
    assert sorted_by_number(many)
    assert class_remarks(many, "x") == [
        "x: classes are whole numbers and sorted as numbers: 0, 1, 2, ..., 11"
    ]
    assert class_remarks(["00", "01", "10"], "x") == class_remarks(["a", "b"], "x") == []
    assert not sorted_by_number(["a", "b"])


def test_classes_named_as_the_parts_of_a_data_set_are_remarked_on():
    assert class_remarks(["train", "val"], "x") == [
        "x: classes are named train and val, as parts of a data set are: "
        "is train in it the right folder?"
    ]


def test_an_image_outside_any_class_and_an_unknown_class_are_refused():
    with pytest.raises(DiloError, match=r"the image a\.jpg outside any"):
        labels_of(Names(["a.jpg"]), "x")
    with pytest.raises(DiloError, match="among the 1 of the training images, got b"):
        labels_of(Names(["b/a.jpg"]), "x", classes=["a"])
