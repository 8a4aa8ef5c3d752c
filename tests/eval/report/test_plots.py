"""Plots of the page: the numbers at their places, names that are any text."""

import pytest
from PIL import Image

from dilo.eval.report import plots
from dilo.eval.report.plots import Line, dots_plot, lines_plot

pytest.importorskip("matplotlib")


@pytest.fixture
def drawn(monkeypatch):
    """Keep the figures that are drawn."""
    figures = []
    finish = plots._finish
    monkeypatch.setattr(
        plots, "_finish", lambda figure, *rest: (figures.append(figure), finish(figure, *rest))
    )
    return figures


def test_lines_lie_where_their_numbers_are_with_a_tick_at_each_k(tmp_path, drawn):
    first = Line("a $x_1$", [1, 20, 200], [5.0, 7.0, 6.0], [(4, 6), (6, 8), (5, 7)])
    lines_plot([first, Line("_b", [20], [9.0])], tmp_path / "a.png", across="k", up="%", log=True)
    (axes,) = drawn[0].axes
    assert [line.get_xydata().tolist() for line in axes.get_lines()] == [
        [[1, 5], [20, 7], [200, 6]],
        [[20, 9]],
    ]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "20", "200"]
    assert len(axes.collections) == 1  # one interval is known
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["a $x_1$", "_b"]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"


def test_each_label_has_its_row_and_what_is_missing_has_no_dot(tmp_path, drawn):
    values = {"a": {"cat": 1.0, "dog": 2.0}, "b": {"dog": 5.0}}
    dots_plot(values, tmp_path / "a.png", across="%", labels=["dog", "cat", "x" * 99])
    (axes,) = drawn[0].axes
    dots = [line.get_xydata().tolist() for line in axes.get_lines()]
    assert [[(across, round(up)) for across, up in run] for run in dots] == [
        [(2, 0), (1, 1)],
        [(5, 0)],
    ]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[:2] == ["dog", "cat"]
    assert len(labels[2]) == plots.LONGEST
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first row is above


def test_equal_numbers_do_not_hide_each_other(tmp_path, drawn):
    dots_plot(
        {"a": {"cat": 1.0}, "b": {"cat": 1.0}}, tmp_path / "a.png", across="%", labels=["cat"]
    )
    first, second = (line.get_ydata()[0] for line in drawn[0].axes[0].get_lines())
    assert abs(first - second) > 0.2
    lines_plot([Line("a", [1, 2], [3, 4]), Line("b", [1, 2], [3, 4])], tmp_path / "b.png",
               across="k", up="%")  # fmt: skip
    below, above = drawn[1].axes[0].get_lines()
    assert below.get_linewidth() > above.get_linewidth() + 1
    assert below.get_markersize() > above.get_markersize() + 1


def test_runs_differ_in_colour_and_marker():
    looks = [plots._look(place, 35) for place in range(35)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 35
