"""Ways into records: keys that may be missing, lists whose items have fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def find_in(value: object, path: Sequence[str]) -> Iterator[tuple[Any, dict[str, str]]]:
    """Follow keys into a record; ``*`` is every item of a list or of an object.

    Yields what stands there, and the fields of the items that ``*`` passed, in words, the key of
    an object's item under "key". Nothing for a key that is missing.

    Examples
    --------
    >>> list(find_in({"results": [{"k": 1, "top1": 50.0}]}, ["results", "*", "top1"]))
    [(50.0, {'k': '1', 'top1': '50.0'})]
    >>> list(find_in({"per_class": {"cat": 9}}, ["per_class", "*"]))
    [(9, {'key': 'cat'})]
    """
    if not path:
        yield value, {}
        return
    first, *rest = path
    for key, item in _items(value) if first == "*" else _one(value, first):
        words = {"key": key} if key is not None else {}
        if first == "*" and isinstance(item, Mapping):
            words |= {k: str(v) for k, v in item.items() if isinstance(v, str | int | float)}
        for inner, more in find_in(item, rest):
            yield inner, words | more


def _items(value: object) -> Iterator[tuple[str | None, Any]]:
    """List the items of a list, or of an object with their keys."""
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, list):
        yield from ((None, item) for item in value)


def _one(value: object, key: str) -> Iterator[tuple[None, Any]]:
    """Return what stands under a key, if it is there."""
    if isinstance(value, Mapping) and key in value:
        yield None, value[key]
