"""What the paper reports of a recipe: a row of one of its tables, and the number in it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from dilo.pipeline.errors import RecipeError
from dilo.train.recipes.schema import require_keys

#: The paper's tables of linear top-1 on ImageNet, by name, and the notes on them.
_PAPER: Final = tomllib.loads((resources.files(__package__) / "paper.toml").read_text("utf-8"))
#: What each table compares.
TABLES: Final[dict[str, str]] = {k: table["title"] for k, table in _PAPER["tables"].items()}
#: Methods of the masks that the paper uses.
MASKS: Final = ("rbd", "gs", "mc", "basnet")


@dataclass(frozen=True, kw_only=True)
class PaperResult:
    """The section ``[paper]`` of a recipe."""

    #: "1", "2a", "2b", "2c", "2d", "3" or "text".
    table: str
    #: As the paper words it; where the table has columns, the column's words after a comma.
    row: str
    #: Linear top-1 on ImageNet, in percent.
    top1: float
    #: Method of the masks: "rbd", "gs", "mc" or "basnet"; None where there are none.
    masks: str | None = None
    #: What the paper leaves open; "" for nothing.
    note: str = ""


def published_from_dict(values: Mapping[str, Any], source: str) -> PaperResult:
    """Make it of the section's values, complete and checked, or raise `RecipeError`."""
    require_keys(PaperResult, values, source, "paper")
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
    return PaperResult(**{**values, "top1": float(values["top1"])})


def _is_percentage(value: object) -> bool:
    """Check whether a value is a number from 0 to 100."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def paper_rows() -> dict[str, dict[str, Any]]:
    """Return each row of the tables, in their order, as a file of this recipe would say it."""
    rows: dict[str, dict[str, Any]] = {}
    for table, content in _PAPER["tables"].items():
        for name, cells in content["rows"].items():
            paper = {"table": table, **cells}
            base, changes = paper.pop("base"), paper.pop("set", {})
            if "note" in paper:
                paper["note"] = _PAPER["notes"][paper["note"]]
            rows[name] = {"base": base, **changes, "paper": paper}
    return rows
