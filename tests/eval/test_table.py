"""Means and deviations over seeds, and differences between arms, against a calculator."""

import csv
import json
from statistics import stdev

import pytest
from support.cli import invoke
from support.reports import backgrounds, knn, training, write_json

from dilo.eval.cli import main
from dilo.eval.common.intervals import mean_interval
from dilo.eval.records.reading import read_source
from dilo.eval.table import Request, evaluate
from dilo.pipeline.errors import DiloError


def run(root, name, seed, *records):
    """Write a run with records."""
    folder = training(root / name, 0.3)
    facts = json.loads((folder / "run.json").read_text())
    facts["recipe"]["seed"] = seed
    write_json(folder / "run.json", facts)
    for record in records:
        task = record["task"]
        write_json(folder / "eval" / task / f"{task}.json", record)
    return folder


def table(*runs, whole=False, out=None):
    """Make a table of runs, each of an arm."""
    notes = []
    return evaluate(Request(runs=runs, whole=whole, out=out), notes.append), notes


@pytest.fixture
def runs(tmp_path):
    """Write two arms with seeds 0 and 1, and the second with seed 2 too."""
    tops = {"moco": {0: 50.0, 1: 52.0}, "paste": {0: 53.0, 1: 56.0, 2: 54.0}}
    return [
        (arm, run(tmp_path, f"{arm}-{seed}", seed, knn(top1), backgrounds("x", gap=10.0 + seed)))
        for arm, values in tops.items()
        for seed, top1 in values.items()
    ]


def metric(record, name):
    return next(m for m in record["metrics"] if m["metric"] == name)


def test_an_arm_is_summed_up_by_mean_and_deviation_over_its_seeds(runs):
    evaluation, _ = table(*runs)
    arms = metric(evaluation.record, "kNN top-1, k = 20")["arms"]
    assert arms["paste"]["values"] == {"0": 53.0, "1": 56.0, "2": 54.0}
    assert arms["paste"]["mean"] == pytest.approx(163 / 3)
    assert arms["paste"]["deviation"] == pytest.approx(stdev([53, 56, 54]))
    assert arms["moco"]["mean"] == 51.0


def test_arms_are_compared_over_the_seeds_that_both_have(runs):
    (difference,) = metric(table(*runs)[0].record, "kNN top-1, k = 20")["differences"]
    assert (difference["first"], difference["second"]) == ("paste", "moco")
    assert difference["values"] == {"0": 3.0, "1": 4.0}
    assert difference["mean"] == 3.5
    # Of two values, 12.706 standard errors to either side.
    assert difference["interval"] == pytest.approx([3.5 - 12.7062 * 0.5, 3.5 + 12.7062 * 0.5])


def test_the_text_has_a_line_an_arm_and_a_line_a_difference(runs):
    evaluation, notes = table(*runs)
    assert evaluation.table[:8] == [
        "kNN",
        "                         kNN top-1, k = 1     kNN top-1, k = 20    kNN top-1, k = 200",
        "arm           seeds                     %                     %                     %",
        "moco              2          47.00 ± 1.41          51.00 ± 1.41          48.50 ± 1.41",
        "paste             3          50.33 ± 1.53          54.33 ± 1.53          51.83 ± 1.53",
        "paste - moco      2  +3.50 [-2.85, +9.85]  +3.50 [-2.85, +9.85]  +3.50 [-2.85, +9.85]",
        "",
        "Reliance on backgrounds",
    ]
    assert notes == []


def test_text_has_the_main_metrics_or_all_and_the_files_have_all(runs, tmp_path):
    short, _ = table(*runs, out=tmp_path / "table")
    whole, _ = table(*runs, whole=True)
    label = "accuracy of foregrounds alone (only_fg)"
    assert "only_fg" not in " ".join(short.table)
    assert "(only_fg)" in " ".join(whole.table)
    assert metric(short.record, label)["arms"]["moco"]["mean"] == 60.0
    assert json.loads((tmp_path / "table" / "table.json").read_text()) == short.record
    assert (tmp_path / "table" / "table.txt").read_text().splitlines() == short.table
    with open(tmp_path / "table" / "table.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    gap = [line for line in lines if line["metric"] == "BG-gap"]
    assert [(line["arm"], line["seeds"], line["mean"]) for line in gap] == [
        ("moco", "2", "10.5"),
        ("paste", "3", "11"),
    ]
    assert (gap[1]["minus"], gap[1]["shared_seeds"], gap[1]["difference"]) == ("moco", "2", "0")
    markdown = (tmp_path / "table" / "table.md").read_text().splitlines()
    assert markdown[:3] == [
        "**kNN**",
        "",
        "| arm | seeds | kNN top-1, k = 1 (%) | kNN top-1, k = 20 (%) | kNN top-1, k = 200 (%) |",
    ]
    assert markdown[4].startswith("| moco | 2 | 47.00 ± 1.41 |")


def test_a_run_that_lacks_a_result_is_named_and_its_number_says_of_how_many_seeds_it_is(tmp_path):
    first = run(tmp_path, "a-0", 0, knn(50.0), backgrounds("x"))
    second = run(tmp_path, "a-1", 1, knn(51.0))
    evaluation, notes = table(("a", first), ("a", second))
    assert notes == ["a-1 lacks: backgrounds"]
    assert metric(evaluation.record, "BG-gap")["arms"]["a"]["deviation"] is None


def test_numbers_that_were_measured_differently_are_not_compared(tmp_path):
    first = run(tmp_path, "a-0", 0, knn(50.0))
    second = run(tmp_path, "b-0", 0, knn(51.0, size=32))
    evaluation, notes = table(("a", first), ("b", second))
    assert notes == ["knn: arms are not compared, for they differ in: side of the crops, pixels"]
    assert not any(m["differences"] for m in evaluation.record["metrics"])


def test_arms_of_other_epochs_are_compared(tmp_path):
    first = run(tmp_path, "a-0", 0, knn(50.0))
    second = run(tmp_path, "b-0", 0, knn(51.0, step=9))
    evaluation, notes = table(("a", first), ("b", second))
    assert notes == []
    assert metric(evaluation.record, "kNN top-1, k = 1")["differences"]


def test_two_runs_of_an_arm_with_one_seed_are_refused(tmp_path):
    first, second = run(tmp_path, "a-0", 0), run(tmp_path, "b-0", 0)
    with pytest.raises(DiloError, match=r"its own seed, got .*/a-0 and .*/b-0, both of x with"):
        table(("x", first), ("x", second))


def test_runs_without_results_are_said_to_have_none(tmp_path):
    assert table(("a", run(tmp_path, "a-0", 0)))[0].table == ["no results of dilo-eval"]


def test_an_arm_is_named_by_its_folder_without_the_seed(runs):
    folders = [folder for _, folder in runs]
    named = [f"again={folders[0]}", *folders[1:]]
    record = json.loads(invoke(main, "table", *named, "--json").stdout)
    assert record["arms"] == ["again", "moco", "paste"]
    assert [run["seed"] for run in record["runs"]] == ["0", "1", "0", "1", "2"]


def test_an_untrained_network_stands_beside_the_runs_by_its_checkpoint(tmp_path):
    folder = run(tmp_path, "a-0", 0, knn(50.0))
    checkpoint = folder / "checkpoints" / "step-00000000.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    write_json(folder / "eval" / "knn-step-0" / "knn.json", knn(20.0, step=0))
    words = (f"untrained={checkpoint}", f"trained={folder}")
    record = json.loads(invoke(main, "table", *words, "--json").stdout)
    arms = metric(record, "kNN top-1, k = 20")["arms"]
    assert {arm: values["mean"] for arm, values in arms.items()} == {
        "untrained": 20.0,
        "trained": 50.0,
    }


def test_each_run_is_read_once(runs, monkeypatch):
    folders = []

    def read(name, path, **more):
        folders.append(path)
        return read_source(name, path, **more)

    monkeypatch.setattr("dilo.eval.table.read_source", read)
    assert table(*((None, folder) for _, folder in runs))[0].record["arms"] == ["moco", "paste"]
    assert folders == [folder for _, folder in runs]


def test_what_is_no_run_and_a_folder_of_something_else_are_refused(runs, tmp_path):
    assert "got gone: not found" in invoke(main, "table", "gone", status=2).stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    result = invoke(main, "table", runs[0][1], "--out", tmp_path / "other", status=3)
    assert "must be empty, or hold what this command wrote" in result.stderr


def test_the_interval_of_a_mean_is_students():
    low, high = mean_interval([1.0, 2.0, 3.0, 6.0])
    half = 3.182446 * stdev([1, 2, 3, 6]) / 2
    assert (low, high) == pytest.approx((3 - half, 3 + half))
