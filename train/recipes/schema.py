"""Frozen dataclasses of plain values, as TOML or JSON give them: unknown keys are refused."""

import dataclasses
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from dilo.pipeline.common.plain import Misfit, convert
from dilo.pipeline.common.textfiles import MAX_INTEGER
from dilo.pipeline.errors import RecipeError, near

SectionT = TypeVar("SectionT")
#: What must be so, in words; whether it is; and what was got.
Rule = tuple[str, bool, object]


def from_plain(kind: type[SectionT], values: Mapping[str, Any], source: str) -> SectionT:
    """Fill a dataclass, and those in it, with plain values."""
    return _section(kind, values, source, "")


def check_rules(rules: Iterable[Rule], source: str) -> None:
    """Refuse values that are of the right type and still make no run."""
    for rule, holds, value in rules:
        if not holds:
            raise RecipeError(f"{source}: {rule}, got {value!r}")


def merged(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values into those of a base, sections key by key."""
    result = dict(base)
    for key, value in values.items():
        section = result.get(key)
        if isinstance(value, Mapping) and isinstance(section, Mapping):
            result[key] = merged(section, value)
        else:
            result[key] = value
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested values by dotted keys.

    Examples
    --------
    >>> flat({"seed": 0, "paste": {"probability": 0.3}})
    {'seed': 0, 'paste.probability': 0.3}
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        result |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return result


def require_keys(kind: type, values: Mapping[str, Any], source: str, section: str) -> None:
    """Refuse keys that a section's dataclass does not know, and such as it wants and lacks."""
    prefix = f"{section}." if section else ""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in sorted(set(values) - set(fields)):
        names = ", ".join(f"{prefix}{name}" for name in fields)
        raise RecipeError(
            f"{source}: unknown key {prefix}{key}: known are {names}{near(key, fields)}"
        )
    for key, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and key not in values:
            where = f"[{section}] " if section else ""
            raise RecipeError(f"{source}: {where}must have the key {key}, got none")


def _section(
    kind: type[SectionT], values: Mapping[str, Any], source: str, section: str
) -> SectionT:
    """Fill a dataclass, refusing what it does not know."""
    require_keys(kind, values, source, section)
    hints, prefix = typing.get_type_hints(kind), f"{section}." if section else ""
    return kind(**{k: _value(hints[k], v, source, f"{prefix}{k}") for k, v in values.items()})


def _value(hint: Any, value: Any, source: str, key: str) -> Any:
    """Convert one plain value to its field's type, or refuse it by name."""
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _section(typing.cast("type[Any]", hint), value, source, key)
    try:
        return convert(hint, value, MAX_INTEGER, MAX_INTEGER)
    except Misfit as error:
        rule, guess = _rule(error.kind), ""
        if error.too_large:
            rule = "finite and below 2**64"
        elif typing.get_origin(error.kind) is Literal:
            guess = near(error.value, map(str, typing.get_args(error.kind)))
        raise RecipeError(
            f"{source}: {key} must be {rule}, got {_brief(error.value)}{guess}"
        ) from error


def _rule(hint: Any) -> str:
    """Describe what a field takes."""
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, typing.get_args(hint)))}"
    if typing.get_origin(hint) is Mapping:
        return "a table"
    if isinstance(hint, types.GenericAlias):  # a tuple, of one kind of items
        item, *others = typing.get_args(hint)
        length = "" if Ellipsis in others else f" of {1 + len(others)}"
        return f"a list{length}, each item {_rule(item)}"
    return str(hint.__name__)


def _brief(value: object) -> str:
    """Format a value, however large it is."""
    # Python writes no integer of more than 4300 digits.
    huge = isinstance(value, int) and abs(value) >= 10**40
    return "a number of over 40 digits" if huge else reprlib.repr(value)
