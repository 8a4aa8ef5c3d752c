"""Sections of tasks: which classes are drawn, and what is said of protocols."""

import pytest
from support.pages import Page
from support.reports import backgrounds, knn, linear, picture, write_json

from dilo.eval.records.reading import Result, Source, read_source
from dilo.eval.report import readouts
from dilo.eval.report.gathered import gather
from dilo.eval.report.readouts import task_section


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Make the section of one task; give its words and what was asked to be drawn."""
    drawn = []

    def draw(data, path, **options):
        drawn.append((data, options))
        picture(path)

    monkeypatch.setattr(readouts, "dots_plot", draw)
    monkeypatch.setattr(readouts, "lines_plot", draw)

    def make(**records):
        sources = []
        for name, record in records.items():
            path = tmp_path / f"{name}.json"
            path.touch()
            result = Result(record["task"], path, record)
            sources.append(Source(name, tmp_path, results=[result]))
        section = task_section(gather(sources, [], tmp_path), record["task"])
        return Page(section.body).text, drawn

    return make


def test_knn_is_drawn_by_k_with_its_intervals(shown):
    _, drawn = shown(a=knn(50.0), b=knn(60.0))
    (lines, options), _ = drawn
    assert [(line.name, line.across, line.up) for line in lines] == [
        ("a", [1, 20, 200], [46.0, 50.0, 47.5]),
        ("b", [1, 20, 200], [56.0, 60.0, 57.5]),
    ]
    assert all(len(line.ends) == 3 for line in lines)
    assert options["log"]


def test_classes_are_drawn_for_one_k_those_first_that_differ_most(shown):
    other = knn(50.0)
    for result in other["results"]:
        result["per_class"] = {"tench": 50.0, "springer": 53.0, "cassette player": 9.0}
    text, drawn = shown(a=knn(50.0), b=other)
    values, options = drawn[-1]
    assert options == {
        "across": "kNN top-1, k = 20, %",
        "labels": ["cassette player", "tench", "springer", "chain saw"],
    }
    assert values["b"] == {"tench": 50.0, "springer": 53.0, "cassette player": 9.0}
    assert "those first in which runs differ most." in text


def test_of_many_classes_some_are_drawn_and_the_page_says_so(shown, monkeypatch):
    monkeypatch.setattr(readouts, "CLASSES", 3)
    text, drawn = shown(a=knn(50.0))
    assert len(drawn[-1][1]["labels"]) == 3
    assert "3 of 4 classes; numbers.csv has all." in text
    assert "runs differ" not in text


def test_a_linear_probe_says_its_protocol_and_draws_its_epochs(shown):
    broken = linear(60.0) | {"trunk_unchanged": False, "departures": "none"}
    text, drawn = shown(a=linear(60.0) | {"is_protocol": True, "departures": []}, b=broken)
    assert "a: protocol mocob: protocol moco, but not as published; THE TRUNK CHANGED" in text
    lines, _ = drawn[0]
    assert lines[0].across == list(range(1, 21))
    assert lines[0].up[15] == 60.0


def test_a_second_record_of_other_images_has_a_table_and_no_dots(tmp_path, monkeypatch):
    drawn = []

    def draw(values, path, **options):
        drawn.append(values)
        picture(path)

    monkeypatch.setattr(readouts, "dots_plot", draw)
    for folder, images, gap in (("backgrounds", "val", 12.0), ("backgrounds-2", "in9", 3.0)):
        record = backgrounds("dilo", gap=gap) | {"inputs": {"images": images}}
        write_json(tmp_path / "run" / "eval" / folder / "backgrounds.json", record)
    run = read_source("dilo", tmp_path / "run", is_run=True)
    section = task_section(gather([run], [], tmp_path), "backgrounds")
    (values,) = drawn
    assert values.keys() == {"dilo"}
    assert values["dilo"]["mixed_rand"] == 58.0
    text = Page(section.body).text
    assert "Of other images or settings" in text
    assert "dilo (backgrounds-2)" in text
