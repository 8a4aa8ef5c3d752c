"""Sections: dataclasses of plain values, and what is refused of them by name."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from dilo.pipeline.errors import RecipeError
from dilo.train.recipes.schema import check_rules, from_plain


@dataclass(frozen=True, kw_only=True)
class Inner:
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int = 1
    rate: float = 0.5
    inner: Inner = field(default_factory=Inner)


def test_what_is_not_given_is_as_the_dataclass_has_it_and_whole_numbers_are_numbers():
    found = from_plain(Outer, {"rate": 2, "inner": {"pair": [3, 4]}}, "here")
    assert found == Outer(rate=2.0, inner=Inner(pair=(3.0, 4.0)))
    assert isinstance(found.rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 1}, "here: unknown key cuont: known are count, rate, inner"),
        ({"inner": {"knid": 1}}, "unknown key inner.knid: known are inner.kind, inner.pair"),
        ({"inner": {"kind": "c"}}, "inner.kind must be one of 'a', 'b', got 'c'"),
        ({"count": 1.5}, "count must be int, got 1.5"),
        ({"count": True}, "count must be int, got True"),
        ({"inner": {"pair": [1]}}, r"inner.pair must be a list of 2, each item float, got \[1\]"),
    ],
)
def test_an_unknown_key_or_another_type_is_refused_by_name(values, message):
    with pytest.raises(RecipeError, match=message):
        from_plain(Outer, values, "here")


def test_the_first_rule_that_does_not_hold_is_told():
    check_rules([("a must be", True, 1)], "here")
    with pytest.raises(RecipeError, match=r"^here: b must be, got 2$"):
        check_rules([("a must be", True, 1), ("b must be", False, 2), ("c", False, 3)], "here")
