"""What the paper reports of a recipe: a row of one of its tables, and the number in it."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from dilo.pipeline.errors import RecipeError, near

#: The paper's tables of linear top-1 on ImageNet, and what each compares.
TABLES: Final = {
    "1": "Table 1: augmentations, each with those above it",
    "2a": "Table 2a: masks",
    "2b": "Table 2b: how often the paste",
    "2c": "Table 2c: backgrounds",
    "2d": "Table 2d: blending",
    "3": "Table 3: methods",
    "text": "In the text",
}
#: Methods of the masks that the paper uses.
MASKS: Final = ("rbd", "gs", "mc", "basnet")


@dataclass(frozen=True, kw_only=True)
class Published:
    """The section ``[paper]`` of a recipe.

    Attributes
    ----------
    table : str
        "1", "2a", "2b", "2c", "2d", "3" or "text".
    row : str
        As the paper words it; where the table has columns, the column's words after a comma.
    top1 : float
        Linear top-1 on ImageNet, in percent.
    masks : str or None
        Method of the masks: "rbd", "gs", "mc" or "basnet"; None where there are none.
    note : str
        What the paper leaves open; "" for nothing.
    """

    table: str
    row: str
    top1: float
    masks: str | None = None
    note: str = ""


def published_from_dict(values: Mapping[str, Any], source: str) -> Published:
    """Make it of plain values.

    Parameters
    ----------
    values : mapping
        Keys and values of the section.
    source : str
        Where they come from, for messages.

    Returns
    -------
    Published
        Complete and checked.

    Raises
    ------
    RecipeError
        If a key is unknown or missing, or a value does not fit.
    """
    known = {field.name: field for field in fields(Published)}
    for key in sorted(set(values) - set(known)):
        names = ", ".join(f"paper.{name}" for name in known)
        raise RecipeError(f"{source}: unknown key paper.{key}: known are {names}{near(key, known)}")
    for key, field in known.items():
        if key not in values and field.default is MISSING:
            raise RecipeError(f"{source}: [paper] must have the key {key}, got none")
    rules = {
        "table": (f"one of {', '.join(TABLES)}", values["table"] in list(TABLES)),
        "row": ("words", isinstance(values["row"], str) and values["row"]),
        "top1": ("a percentage", _is_percentage(values["top1"])),
        "masks": (f"one of {', '.join(MASKS)}", values.get("masks", "rbd") in MASKS),
        "note": ("words", isinstance(values.get("note", ""), str)),
    }
    for key, (rule, holds) in rules.items():
        if not holds:
            raise RecipeError(f"{source}: paper.{key} must be {rule}, got {values[key]!r}")
    return Published(**{**values, "top1": float(values["top1"])})


def _is_percentage(value: object) -> bool:
    """Tell whether a value is a number from 0 to 100."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
