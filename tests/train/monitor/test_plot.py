"""Curves of runs: the right numbers at the right places, whatever a run lacks."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from dilo.pipeline.errors import DiloError
from dilo.train.monitor import plot
from dilo.train.monitor.plot import plot_runs, run_names, smoothed

pytest.importorskip("matplotlib")

LINES = [
    {"step": step, "loss": 8 - step / 10, "accuracy": step / 100, "lr": 0.06}
    | {"images_per_second": 900.0, "data_wait": 0.05}
    for step in range(2, 42, 2)
]
KNN = [{"step": step, "knn_top1": 30.0 + step, "knn_k": 20} for step in (0, 20, 40)]
SCORES = [{"step": s, "test_mae": 0.3 - s / 200, "test_max_f": s / 50} for s in (0, 20, 40)]


def write_run(folder, lines=LINES, recipe=None, steps=40):
    """Write a run of four epochs of ten steps; or, for no steps, without a run.json."""
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if steps:
        facts = {"steps": steps, "recipe": {"optimizer": {"epochs": 4}} | (recipe or {})}
        (folder / "run.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw runs; give the figure's axes by title, and its legend's words."""
    figures = []
    finish = plot._finish
    monkeypatch.setattr(
        plot, "_finish", lambda figure, *rest: (figures.append(figure), finish(figure, *rest))
    )

    def draw(*runs, **options):
        plot_runs(runs, tmp_path / "out.png", **options)
        with Image.open(tmp_path / "out.png") as picture:
            assert picture.format == "PNG"
        axes = {axes.get_title(loc="left"): axes for axes in figures[-1].axes}
        (legend,) = figures[-1].legends
        return axes, [text.get_text() for text in legend.get_texts()], legend

    return draw


def test_each_panel_shows_its_numbers_over_epochs(tmp_path, drawn):
    axes, names, legend = drawn(write_run(tmp_path / "run", LINES + KNN + SCORES))
    assert list(axes) == [panel.title for panel in plot.PANELS]
    assert names == ["run"]
    assert legend.get_title().get_text() == "strong: mean over 0.16 epochs; light: as recorded"
    for title, key, factor in (
        ("Loss", "loss", 1),
        ("Accuracy of the contrastive task, %", "accuracy", 100),
        ("Time waiting for data, %", "data_wait", 100),
    ):
        raw, strong = axes[title].get_lines()
        assert_allclose(raw.get_xdata(), [line["step"] / 10 for line in LINES])
        assert_allclose(raw.get_ydata(), [factor * line[key] for line in LINES])
        assert strong.get_linewidth() > raw.get_linewidth()
        assert axes[title].get_xlabel() == "Epoch"
    (knn,) = axes["kNN top-1, %"].get_lines()
    assert knn.get_xydata().tolist() == [[0, 30], [2, 50], [4, 70]]
    for title, wanted in (
        ("Maximal F of masks", [0, 0.4, 0.8]),
        ("Mean absolute error of masks", [0.3, 0.2, 0.1]),
    ):
        (score,) = axes[title].get_lines()
        assert_allclose(score.get_xydata(), list(zip([0, 2, 4], wanted, strict=True)))


def test_runs_are_told_by_colour_and_by_what_differs_between_their_recipes(tmp_path, drawn):
    runs = [
        write_run(tmp_path / name, recipe={"paste": {"probability": p, "blend": "mix"}})
        for name, p in (("a", 0.0), ("b", 0.3))
    ]
    axes, names, legend = drawn(*runs)
    assert names == ["paste.probability=0", "paste.probability=0.3"]
    colours = [line.get_color() for line in axes["Loss"].get_lines()]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert [line.get_color() for line in legend.get_lines()] == [colours[0], colours[2]]
    assert "kNN top-1, %" not in axes  # nobody recorded it: no empty panel


def test_the_loss_is_shown_from_where_the_queue_is_full_and_a_few_values_do_not_flatten_it(
    tmp_path, drawn
):
    filling = [{"step": step, "loss": step / 5} for step in range(1, 10)]
    settled = [{"step": step, "loss": 8 - step / 400} for step in range(10, 400)]
    settled[-1]["loss"] = 500.0
    recipe = {"method": "moco", "moco": {"queue": 80}, "optimizer": {"epochs": 40, "batch": 8}}
    axes, _, _ = drawn(write_run(tmp_path / "run", filling + settled, recipe, steps=400))
    low, high = axes["Loss"].get_ylim()
    assert 6.8 < low < 7.01
    assert 7.95 < high < 8.2
    # Before it is full, nothing else is there to be shown.
    axes, _, _ = drawn(write_run(tmp_path / "short", filling, recipe, steps=400))
    low, high = axes["Loss"].get_ylim()
    assert low < 0.3
    assert high > 1.7


def test_equal_runs_do_not_hide_each_other(tmp_path, drawn):
    assert len({plot._style(index, 4)["linestyle"] for index in range(4)}) == 4
    runs = [write_run(tmp_path / name, LINES + KNN) for name in "abcd"]
    axes, _, legend = drawn(*runs)
    for title in ("Learning rate", "kNN top-1, %"):
        lines = axes[title].get_lines()
        widths = [line.get_linewidth() for line in lines]
        assert widths == sorted(widths, reverse=True)
        assert lines[0].get_linestyle() == "-"  # below the others, whose gaps it fills
    markers = axes["kNN top-1, %"].get_lines()
    assert len({line.get_marker() for line in markers}) == 4
    sizes = [line.get_markersize() for line in markers]
    assert sizes == sorted(set(sizes), reverse=True)
    assert [line.get_color() for line in legend.get_lines()] == [
        line.get_color() for line in markers
    ]


def test_runs_may_be_given_names(tmp_path, drawn):
    runs = [write_run(tmp_path / name) for name in "ab"]
    assert drawn(*runs, names=["with $paste", "without"])[1] == ["with $paste", "without"]


def test_narrow_curves_stand_in_one_column(tmp_path, drawn):
    axes, _, _ = drawn(write_run(tmp_path / "run"), narrow=True)
    boxes = [panel.get_position() for panel in axes.values()]
    assert len(boxes) == 5
    assert all(below.y1 < above.y0 for above, below in itertools.pairwise(boxes))
    assert len({round(box.x1, 6) for box in boxes}) == 1


def test_torn_lines_numbers_that_are_none_and_missing_panels_do_no_harm(tmp_path, drawn):
    broken = [{"step": 5, "loss": None}, {"step": 6, "epoch": 0}, *LINES[4:]]
    torn = write_run(tmp_path / "torn", broken)
    with (torn / "metrics.jsonl").open("a") as file:
        file.write('{"step": 43, "lo')
    axes, _, _ = drawn(torn, write_run(tmp_path / "knn", KNN))
    assert len(axes["Loss"].get_lines()[0].get_xdata()) == len(LINES) - 4
    assert len(axes["kNN top-1, %"].get_lines()[1].get_xdata()) == 3


def test_without_a_run_json_the_curves_are_over_steps_and_named_by_folder(tmp_path, drawn):
    runs = [write_run(tmp_path / name, steps=0) for name in ("_first$", "second")]
    axes, names, legend = drawn(*runs)
    assert axes["Loss"].get_xlabel() == "Step"
    assert axes["Loss"].get_lines()[0].get_xdata()[-1] == 40
    assert names == ["_first$", "second"]
    assert "mean over 2 steps" in legend.get_title().get_text()


def test_the_panels_fill_their_rows_and_the_legend_lies_below_them(tmp_path, drawn):
    runs = [write_run(tmp_path / f"{'long-name-' * 4}{i}") for i in range(9)]
    axes, names, legend = drawn(*runs)
    assert len(set(names)) == 9
    boxes = [panel.get_position() for panel in axes.values()]
    assert len(boxes) == 5
    assert max(box.x1 for box in boxes[:3]) == pytest.approx(max(box.x1 for box in boxes[3:]))
    words = legend.get_window_extent().transformed(legend.figure.transFigure.inverted())
    assert 0 <= words.y0 < words.y1 < min(box.y0 for box in boxes)
    assert 0 <= words.x0 < words.x1 <= 1


def test_a_folder_without_a_record_is_named(tmp_path):
    with pytest.raises(DiloError, match=r"there is no line in .*metrics\.jsonl: give what"):
        plot_runs([tmp_path], tmp_path / "out.png")


@pytest.mark.parametrize(
    ("recipes", "names"),
    [
        pytest.param([{"lr": "1"}, {"lr": "1"}], ["a", "b"], id="nothing differs"),
        pytest.param([{"lr": "1"}, {}], ["a", "b"], id="a recipe unknown"),
        pytest.param(
            [{"x": "1", "y": "2"}, {"x": "2", "y": "3"}], ["x=1, y=2", "x=2, y=3"], id="two"
        ),
        pytest.param([{"k" * 60: "1"}, {"k" * 60: "2"}], ["a", "b"], id="too long"),
    ],
)
def test_names_are_folders_where_recipes_do_not_tell_runs_apart(recipes, names):
    assert run_names([Path("runs/a"), Path("runs/b")], recipes) == names


def test_folders_of_one_name_are_told_by_their_paths():
    assert run_names([Path("x/run"), Path("y/run")], [{}, {}]) == ["x/run", "y/run"]


def test_the_mean_is_that_of_the_window_read_literally():
    rng = np.random.default_rng(0)
    across, up, width = np.sort(rng.uniform(0, 10, 60)), rng.normal(size=60), 2.0
    expected = []
    for place in across:
        half = min(max(min(place - across[0], across[-1] - place), width / 4), width / 2)
        expected.append(
            np.mean([u for a, u in zip(across, up, strict=True) if abs(a - place) <= half])
        )
    assert_allclose(smoothed(across, up, width), expected)
