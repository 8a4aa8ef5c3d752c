"""Ways into records: what is there is found, what is not is nothing."""

import pytest

from dilo.eval.common.lookup import find_in

RECORD = {"a": {"b": 1}, "list": [{"k": 1, "v": 2}, {"k": 3}], "map": {"x": {"v": 4, "on": True}}}

X = {"v": "4", "on": "True"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", [(1, {})]),
        ("a.c", []),
        ("a.b.c", []),
        ("list.*.v", [(2, {"k": "1", "v": "2"})]),
        ("list.0.v", []),
        ("map.*.v", [(4, {"key": "x", **X})]),
        ("a.b.*", []),
        ("map.*.*", [(4, {"key": "v", **X}), (True, {"key": "on", **X})]),
    ],
)
def test_a_path_leads_to_what_is_there(path, found):
    assert list(find_in(RECORD, path.split("."))) == found
