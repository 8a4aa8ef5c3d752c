"""Which number is best, and whether that is more than chance."""

from pathlib import Path

import numpy as np

from dilo.eval.common.intervals import difference, wilson
from dilo.eval.common.outcomes import mean_difference, outcomes_record
from dilo.eval.records.comparison import Comparison, comparisons, data_sets, difference_interval
from dilo.eval.records.metrics import MetricSpec, MetricValue, metric_values
from dilo.eval.records.reading import Result, Source


def made(column, value, *, images=3925, better="more", record=None, label="top-1"):
    """Make a share of images, or, of none, a value without an interval."""
    result = Result("knn", Path("knn.json"), record or {})
    interval = wilson(value / 100 * images, images) if images else None
    spec = MetricSpec("knn", "top1", label, better=better)
    return MetricValue(column, spec, label, {}, value, interval, images, result)


def of_share(value):
    """Compute the interval of a share of 3925 images."""
    return wilson(value / 100 * 3925, 3925)


def marks(*values, **options):
    """Mark runs a, b, c ... of these values."""
    numbers = {name: made(name, v, **options) for name, v in zip("abcd", values, strict=False)}
    return [Comparison(numbers).mark(name) for name in numbers]


def test_one_that_is_beyond_the_noise_of_all_others_is_best():
    assert marks(50.0, 60.0, 55.0) == ["", "best", ""]


def test_those_within_the_noise_of_the_first_are_tied_with_it():
    assert marks(53.6, 55.1, 40.0) == ["tied", "tied", ""]


def test_the_border_of_the_noise_is_where_the_interval_of_the_difference_ends():
    low = next(x / 100 for x in range(5000, 5600) if marks(50.0, x / 100) == ["", "best"])
    ends = of_share(low), of_share(50.0)
    assert difference(low, ends[0], 50.0, ends[1])[0] > 0
    before = low - 0.01
    assert difference(before, of_share(before), 50.0, ends[1])[0] <= 0


def test_where_less_is_better_the_least_is_best():
    assert marks(50.0, 60.0, better="less") == ["best", ""]


def test_without_an_interval_the_first_leads_by_the_number_alone():
    assert marks(50.0, 50.1, images=None) == ["", "leading"]
    assert marks(50.0, 50.0, images=None) == ["tied", "tied"]


def test_where_one_interval_is_missing_nothing_is_best():
    numbers = {"a": made("a", 10.0), "b": made("b", 90.0, images=None)}
    assert difference_interval(*numbers.values()) is None
    assert Comparison(numbers).mark("b") == "leading"


def test_nothing_is_ranked_where_no_way_is_better_or_records_differ():
    assert marks(1.0, 90.0, better=None) == ["", ""]
    numbers = {name: made(name, v) for name, v in (("a", 1.0), ("b", 90.0))}
    comparison = Comparison(numbers, comparable=False)
    assert [comparison.mark(name) for name in "ab"] == ["apart", "apart"]
    assert comparison.ranked() == []


def backgrounds_values(path, shares, pairs=()):
    """Read values of a record of several classifiers."""
    results = [{"name": name, "top1": {"original": share}} for name, share in shares.items()]
    record = {"task": "backgrounds", "results": results, "pairs": [*pairs]}
    source = Source("both", path.parent, is_run=False)
    source.results.append(Result("backgrounds", path, record))
    return metric_values([Source(name, Path(name)) for name in "ab"], [source])


def test_a_paired_interval_stands_in_place_of_that_of_independent_shares():
    shares = {"a": {"value": 60.0, "images": 200}, "b": {"value": 55.0, "images": 200}}
    alone = backgrounds_values(Path("one/backgrounds.json"), shares)
    (independent,) = comparisons(alone, ["a", "b"])
    assert [independent.mark(name) for name in "ab"] == ["tied", "tied"]
    pair = {
        "first": "b",
        "second": "a",
        "top1": {"original": {"value": -5.0, "low": -8.0, "high": -2.0}},
    }
    both = Path("both/backgrounds.json")
    (paired,) = comparisons(backgrounds_values(both, shares, [pair]), ["a", "b"])
    assert [paired.mark(name) for name in "ab"] == ["best", ""]
    # Beside records of each run, the second record counts where it has the same values.
    (beside,) = comparisons([*alone, *backgrounds_values(both, shares, [pair])], ["a", "b"])
    assert beside.mark("a") == "best"
    other = shares | {"a": {"value": 61.0, "images": 200}}
    (of_others,) = comparisons([*alone, *backgrounds_values(both, other, [pair])], ["a", "b"])
    assert of_others.mark("a") == "tied"


def knn_run(name, right, digest="12ab", **more):
    """Make a run with a record of kNN that says which images are right."""
    record = {"task": "knn", "test_images": len(right), **more}
    record["results"] = [{"k": 20, "top1": 100 * right.mean()}]
    record["outcomes"] = outcomes_record(digest, map(str, range(len(right))), {"20": right})
    source = Source(name, Path(name))
    source.results.append(Result("knn", Path(name) / "knn.json", record))
    return source


def test_records_of_single_runs_are_compared_image_by_image_where_images_are_the_same(tmp_path):
    first, second = np.arange(400) < 220, np.arange(400) < 200
    runs = {"a": knn_run("a", first), "b": knn_run("b", second), "c": knn_run("c", second, "34cd")}
    for source in runs.values():
        (tmp_path / source.name).mkdir()
        path = tmp_path / source.name / "knn.json"
        path.touch()
        source.results[:] = [Result("knn", path, source.results[0].record)]
    values = metric_values(list(runs.values()), [])
    (both,) = comparisons(values, ["a", "b"])
    assert [both.mark(name) for name in "ab"] == ["best", ""]
    ((more, less, interval),) = both.differences()
    expected = mean_difference(first.astype(float) - second.astype(float))
    assert (more.column, less.column, interval) == ("a", "b", (expected.low, expected.high))
    # Of other images, of as many, the two are independent.
    (apart,) = comparisons(values, ["a", "c"])
    assert [apart.mark(name) for name in "ac"] == ["tied", "tied"]
    assert list(apart.differences()) == []


def test_records_that_were_measured_differently_have_no_differences(tmp_path):
    path = tmp_path / "knn.json"
    path.touch()
    right = np.arange(40) < 20
    runs = [knn_run("a", right, size=64), knn_run("b", ~right, size=96)]
    for source in runs:
        source.results[:] = [Result("knn", path, source.results[0].record)]
    (both,) = comparisons(metric_values(runs, []), ["a", "b"])
    assert list(both.differences()) == []


def test_each_of_several_checkpoints_of_a_record_has_a_step_of_its_own():
    shares = {"a": {"value": 60.0, "images": 200}, "b": {"value": 55.0, "images": 200}}
    values = backgrounds_values(Path("one/backgrounds.json"), shares)
    for value, step in zip(values, ("7", "9"), strict=True):
        value.words["step"] = step
    (row,) = comparisons(values, ["a", "b"])
    assert [value.record["step"] for value in row.values.values()] == ["7", "9"]
    assert not row.comparable


def test_a_run_alone_or_without_the_number_has_no_mark():
    assert marks(50.0) == [""]
    assert Comparison({"a": made("a", 1.0), "b": made("b", 2.0)}).mark("c") == ""


def test_numbers_stand_together_by_task_and_label_in_the_order_of_the_columns():
    found = comparisons(
        [made("b", 1.0), made("a", 2.0), made("x", 3.0), made("a", 4.0, label="other")],
        ["a", "b"],
    )
    assert [c.first.label for c in found] == ["top-1", "other"]
    assert list(found[0].values) == ["a", "b"]
    assert [n.value for n in found[0].values.values()] == [2.0, 1.0]


def test_numbers_of_records_that_differ_are_not_comparable():
    first, second = made("a", 1.0, record={"size": 1}), made("b", 90.0, record={"size": 2})
    (found,) = comparisons([first, second], ["a", "b"])
    assert not found.comparable
    (alike,) = comparisons([first, made("b", 90.0, record={"size": 1})], ["a", "b"])
    assert alike.comparable


def images(letter):
    """Name a data set."""
    return {"test": {"folder": f"/data/{letter}/val", "digest": letter * 64}}


def sorted_records(*records):
    """Sort records of runs; give the names of each data set and its runs."""
    pairs = [
        (Source(run, Path(run)), Result("knn", Path(f"{run}/eval/{folder}/knn.json"), record))
        for run, folder, record in records
    ]
    return [(s.name, [source.name for source, _ in s.results]) for s in data_sets("knn", pairs)]


def test_records_are_sorted_by_their_images():
    assert sorted_records(
        ("dilo", "knn", {"inputs": images("a"), "name": "flowers"}),
        ("moco", "knn", {"inputs": images("b")}),
        ("moco", "knn-a", {"inputs": images("a")}),
    ) == [("flowers", ["dilo", "moco"]), ("b", ["moco"])]


def test_a_second_setting_of_the_same_images_stands_beside_that_of_other_runs():
    assert sorted_records(
        ("dilo", "knn", {"inputs": images("a"), "protocol": "dilo"}),
        ("dilo", "knn-moco", {"inputs": images("a"), "protocol": "moco"}),
        ("moco", "knn", {"inputs": images("a"), "protocol": "moco"}),
    ) == [("a", ["dilo"]), ("a (knn-moco)", ["dilo", "moco"])]


def test_one_setting_a_run_stands_side_by_side_though_it_differs():
    assert sorted_records(
        ("dilo", "knn", {"inputs": images("a"), "size": 64}),
        ("moco", "knn", {"inputs": images("a"), "size": 32}),
    ) == [("a", ["dilo", "moco"])]
