"""Metrics as a table: a column for each that some row has, and below it what it is."""

from dilo.eval.common.metrics import Metric, definitions, metric_table, metric_values

METRICS: tuple[Metric[float], ...] = (
    Metric("double", "twice", "the number times two", lambda number: 2 * number),
    Metric("half", "half", "the number over two; none of 0", lambda number: number / 2 or None),
    Metric("never", "never", "nothing", lambda number: None),
)


def test_a_table_shows_the_numbers_that_there_are_and_says_what_they_are():
    assert metric_table("row", {"none": 0, "a": 10.25}, METRICS, "made up", digits=1) == [
        "row   twice  half",
        "none    0.0     -",
        "a      20.5   5.1",
        "",
        "twice        double: the number times two",
        "half         half: the number over two; none of 0",
        "all of them: made up",
    ]


def test_a_record_has_each_number_and_its_definition():
    assert metric_values(METRICS, 3) == {"double": 6, "half": 1.5, "never": None}
    assert definitions(METRICS, "made up") == {
        "all": "made up",
        "double": "the number times two",
        "half": "the number over two; none of 0",
        "never": "nothing",
    }
