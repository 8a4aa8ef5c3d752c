"""Plain values, as TOML, JSON and command lines give them, for the fields of dataclasses."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal


class Misfit(ValueError):
    """A value is of another type than its field, or too large a number to compute with."""

    def __init__(self, kind: Any, value: object, *, too_large: bool = False) -> None:
        super().__init__("does not fit")  # Python writes no integer of more than 4300 digits
        #: What was wanted, and what was got: of a tuple, the item that does not fit.
        self.kind, self.value = kind, value
        self.too_large = too_large


def convert(kind: Any, value: object, max_integer: int, max_float: float = math.inf) -> Any:
    """Convert a plain value to the type of its field, or raise `Misfit`.

    Fields are numbers, text, booleans, literals, mappings, and tuples of these. A whole number
    serves for any, a list for a tuple. Numbers must be finite, and in size below `max_integer`
    where they are whole, else below `max_float`.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal and value in arguments:
        return value
    if origin is Mapping and isinstance(value, Mapping):
        return dict(value)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1:] == (Ellipsis,) else arguments
        if len(kinds) == len(value):
            return tuple(
                convert(k, v, max_integer, max_float) for k, v in zip(kinds, value, strict=True)
            )
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is float or (kind is int and isinstance(value, int)):
            # Not `>=`, so that NaN is refused too.
            if not abs(value) < (max_integer if isinstance(value, int) else max_float):
                raise Misfit(kind, value, too_large=True)
            return kind(value)
    elif type(value) is kind:
        return value
    raise Misfit(kind, value)


def kind_of(value: object) -> Any:
    """Return the type of the field that holds a plain value: of a list, a tuple of as many."""
    if isinstance(value, list | tuple):
        return types.GenericAlias(tuple, tuple(map(kind_of, value)))
    return type(value)
