"""Things by name: what is given as it is, what is imported on use, and what is unknown."""

import math
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from dilo.pipeline.common.plugins import LazyFunction, Plugins


class Numbers(Plugins[float]):
    """Numbers by name."""

    requirement = "a number"

    def is_valid(self, thing):
        return isinstance(thing, float)


def test_ours_are_given_as_they_are_or_imported_on_use():
    numbers = Numbers({"two": 2.0, "pi": EntryPoint("pi", "math:pi", "")})
    assert dict(numbers) == {"two": 2.0, "pi": math.pi}
    assert list(numbers) == ["pi", "two"]
    assert ("two" in numbers, "three" in numbers, len(numbers)) == (True, False, 2)


def test_what_is_imported_on_use_is_not_looked_at_before():
    numbers = Numbers({"lost": EntryPoint("lost", "no_such_module:number", "")})
    assert list(numbers) == ["lost"]
    with pytest.raises(ModuleNotFoundError):
        numbers["lost"]


def test_an_unknown_name_is_no_key_and_a_rule_must_be_given():
    with pytest.raises(KeyError):
        Numbers({})["three"]
    with pytest.raises(TypeError, match="abstract"):
        Plugins({})


def test_a_function_named_for_later_is_imported_when_called():
    code = (
        "import sys\n"
        "from dilo.pipeline.common.plugins import LazyFunction\n"
        "mean = LazyFunction('statistics', 'mean')\n"
        "assert 'statistics' not in sys.modules\n"
        "assert mean([1, 3]) == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert LazyFunction("math", "hypot")(3, 4) == 5
