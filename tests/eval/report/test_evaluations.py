"""Sections of tasks: their tables and plots, baselines, and what is said of protocols."""

import numpy as np
import pytest
from support.reports import backgrounds, knn, linear, localize, picture, saliency, write_json

from dilo.eval.common.outcomes import outcomes_record
from dilo.eval.records.reading import Result, Source, read_source
from dilo.eval.report import evaluations
from dilo.eval.report.content import Cell, ReportData
from dilo.eval.report.evaluations import localisation_section, masks_section, task_section
from dilo.eval.report.pictures import ImageStore


def report_data(tmp_path, *, is_run=True, **records):
    """Gather records, each of a source of its own."""
    sources = []
    for name, record in records.items():
        path = tmp_path / f"{name}.json"
        path.touch()
        result = Result(record["task"], path, record)
        sources.append(Source(name, tmp_path, is_run, results=[result]))
    runs, others = (sources, []) if is_run else ([], sources)
    return ReportData(runs, others, ImageStore(tmp_path))


def rows(table):
    """Read a table: of each row its words."""

    def words(cell):
        return f"{cell.sign} {cell.text}".strip() if isinstance(cell, Cell) else cell

    return {words(row[0]): [words(cell) for cell in row[1:]] for row in table.rows}


@pytest.fixture
def drawn(monkeypatch):
    """Keep what is drawn, and draw nothing, which takes seconds."""
    plots = []

    def draw(data, path, **options):
        plots.append((data, options))
        picture(path)

    monkeypatch.setattr(evaluations, "dots_plot", draw)
    monkeypatch.setattr(evaluations, "lines_plot", draw)
    return plots


def test_knn_is_drawn_by_k_with_its_intervals(tmp_path, drawn):
    task_section(report_data(tmp_path, a=knn(50.0), b=knn(60.0)), "knn")
    (lines, options), _ = drawn
    assert [(line.name, line.across, line.up) for line in lines] == [
        ("a", [1, 20, 200], [46.0, 50.0, 47.5]),
        ("b", [1, 20, 200], [56.0, 60.0, 57.5]),
    ]
    assert all(len(line.ends) == 3 for line in lines)
    assert options["log"]


def test_classes_are_drawn_for_one_k_those_first_that_differ_most(tmp_path, drawn):
    other = knn(50.0)
    for result in other["results"]:
        result["per_class"] = {"tench": 50.0, "springer": 53.0, "cassette player": 9.0}
    section = task_section(report_data(tmp_path, a=knn(50.0), b=other), "knn")
    values, options = drawn[-1]
    assert options == {
        "across": "kNN top-1, k = 20, %",
        "labels": ["cassette player", "tench", "springer", "chain saw"],
    }
    assert values["b"] == {"tench": 50.0, "springer": 53.0, "cassette player": 9.0}
    assert section.figures[-1].caption.endswith("those first in which runs differ most.")


def test_of_many_classes_some_are_drawn_and_the_page_says_so(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(evaluations, "CLASSES", 3)
    section = task_section(report_data(tmp_path, a=knn(50.0)), "knn")
    assert len(drawn[-1][1]["labels"]) == 3
    assert section.figures[-1].caption.endswith(
        "of each class. 3 of 4 classes; numbers.csv has all."
    )


def test_a_linear_probe_says_its_protocol_and_draws_its_epochs(tmp_path, drawn):
    alike = linear(60.0) | {"is_protocol": True, "deviations": []}
    section = task_section(report_data(tmp_path, a=alike, b=linear(60.0)), "linear")
    assert section.notes == [
        "a: protocol moco",
        "b: protocol moco, but not as published: epochs 20 instead of 100",
    ]
    lines, _ = drawn[0]
    assert lines[0].across == list(range(1, 21))
    assert lines[0].up[15] == 60.0


def test_pairs_of_runs_on_the_same_images_have_a_table_of_their_differences(tmp_path, drawn):
    def record(share):
        right = np.arange(400) < 4 * share
        outcomes = outcomes_record("12ab", map(str, range(400)), {"20": right})
        return knn(share) | {"test_images": 400, "outcomes": outcomes}

    data = report_data(tmp_path, a=record(55.0), b=record(50.0), c=knn(40.0))
    _, table = task_section(data, "knn").tables
    assert rows(table) == {
        "kNN top-1, k\u00a0=\u00a020": [],
        "a less b": ["+5.0", "+2.9", "+7.1", "400"],
    }
    assert table.rows[1][1].strong
    ((first, second, _),) = data.differences()
    assert (first.column, second.column) == ("a", "b")


def test_each_data_set_has_a_table_and_a_plot(tmp_path, drawn):
    for folder, name, gap in (("backgrounds", "val", 12.0), ("backgrounds-in9", "in9", 3.0)):
        images = {"images": {"folder": name, "digest": name}}
        record = backgrounds("dilo", gap=gap) | {"inputs": images, "name": name}
        write_json(tmp_path / "run" / "eval" / folder / "backgrounds.json", record)
    run = read_source("dilo", tmp_path / "run", is_run=True)
    section = task_section(ReportData([run], [], ImageStore(tmp_path)), "backgrounds")
    assert [table.caption for table in section.tables] == ["On val", "On in9"]
    assert [rows(table)["BG-gap"][0] for table in section.tables] == ["12.0", "3.0"]
    assert [values["dilo"]["mixed_rand"] for values, _ in drawn] == [58.0, 67.0]


def test_runs_of_the_same_images_share_a_table_and_its_baselines(tmp_path):
    data = report_data(tmp_path, a=localize("x", 45.0), b=localize("y", 50.0))
    (table,) = localisation_section(data).tables
    assert table.caption == "200 images"
    assert list(rows(table)) == [
        "a, gradient of the true class",
        "a, cam of the true class",
        "b, gradient of the true class",
        "b, cam of the true class",
        "baseline: center prior",
        "baseline: random map",
    ]
    assert rows(table)["a, cam of the true class"] == ["45.0", "42.0", "54.0", "37.0"]


def test_what_does_not_exceed_the_best_baseline_is_marked(tmp_path):
    for value, words in ((41.0, "▽ 41.0"), (41.1, "41.1")):
        (table,) = localisation_section(report_data(tmp_path, a=localize("x", value))).tables
        assert rows(table)["a, cam of the true class"][0] == words
        assert rows(table)["baseline: center prior"][0] == "41.0"


def test_runs_of_other_images_have_tables_of_their_own(tmp_path):
    records = {
        letter: localize(letter, 45.0)
        | {"inputs": {"images": {"folder": f"/{letter}", "digest": letter * 64}}}
        for letter in "ab"
    }
    section = localisation_section(report_data(tmp_path, **records))
    assert [table.caption for table in section.tables] == ["a, 200 images", "b, 200 images"]
    assert all("baseline: center prior" in rows(table) for table in section.tables)
    assert section.warnings == ["other images (a a, b b)"]


def test_rows_of_a_folder_are_called_as_the_record_calls_them(tmp_path):
    section = localisation_section(report_data(tmp_path, a=localize("x", 45.0), is_run=False))
    assert "x cam, of the true class" in rows(section.tables[0])


def test_masks_have_a_row_a_method_and_a_dash_for_what_is_missing(tmp_path):
    (table,) = masks_section(report_data(tmp_path, a=saliency(), is_run=False)).tables
    assert table.caption == "a: 200 images, truth masks"
    assert rows(table)["gs"] == ["0.810", "0.700", "0.660", "\u2013", "0.120", "\u2013", "\u2013"]


def test_without_records_there_are_no_sections(tmp_path):
    data = ReportData([Source("a", tmp_path)], [], ImageStore(tmp_path))
    assert localisation_section(data) is None
    assert masks_section(data) is None
    assert task_section(data, "knn") is None
