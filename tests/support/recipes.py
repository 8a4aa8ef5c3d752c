"""Recipes as flat tables, to compare."""

import dataclasses


def flat(recipe):
    """Give a recipe's values by "section.key"."""
    found = {}

    def add(values, prefix):
        for key, value in values.items():
            if isinstance(value, dict) and key != "options":
                add(value, f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = value

    add(dataclasses.asdict(recipe), "")
    return found
