"""Plain values: converted to the types of their fields, or refused with what was wanted."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from dilo.pipeline.common.plain import Misfit, convert, kind_of

BOUND = 100


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (str, "a", "a"),
        (bool, True, True),
        (Literal["a", 2], 2, 2),
        (tuple[float, int], [1, 2], (1.0, 2)),
        (tuple[float, ...], [1, 2, 3], (1.0, 2.0, 3.0)),
        (tuple[float, ...], [], ()),
        (Mapping[str, Any], {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_value_becomes_one_of_its_fields_type(kind, value, expected):
    found = convert(kind, value, BOUND)
    assert found == expected
    assert repr(found) == repr(expected)  # 3 is no 3.0


@pytest.mark.parametrize(
    ("kind", "value", "wanted", "got"),
    [
        (int, 1.5, int, 1.5),
        (int, True, int, True),
        (float, True, float, True),
        (float, "1", float, "1"),
        (bool, 1, bool, 1),
        (Literal["a"], "b", Literal["a"], "b"),
        (tuple[int, int], [1], tuple[int, int], [1]),
        (tuple[int, int], [1, "2"], int, "2"),
        (str, ["a"], str, ["a"]),
    ],
)
def test_another_type_is_refused_with_what_was_wanted(kind, value, wanted, got):
    with pytest.raises(Misfit) as caught:
        convert(kind, value, BOUND)
    assert (caught.value.kind, caught.value.value) == (wanted, got)
    assert not caught.value.too_large


@pytest.mark.parametrize("value", [100, -100, 10**400, math.inf, math.nan])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [0, value]])
def test_a_number_must_be_finite_and_below_its_bound(value, wrap):
    kind = float if wrap(0) == 0 else tuple[int, float]
    with pytest.raises(Misfit) as caught:
        convert(kind, wrap(value), BOUND)
    assert caught.value.too_large


def test_the_bound_of_numbers_that_are_not_whole_is_their_own():
    assert convert(float, 1e300, BOUND) == 1e300
    with pytest.raises(Misfit) as caught:
        convert(float, 1e300, BOUND, 1e9)
    assert caught.value.too_large


def test_a_known_value_tells_the_type_of_its_field():
    assert kind_of([1, 2.0]) == tuple[int, float]
    assert kind_of("a") is str
