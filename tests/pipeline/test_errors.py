"""Words of errors."""

import pytest

from dilo.pipeline.errors import few


@pytest.mark.parametrize(
    ("names", "words"),
    [("", ""), ("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more")],
)
def test_of_many_names_the_first_three_are_told_and_the_rest_counted(names, words):
    assert few(list(names)) == words
