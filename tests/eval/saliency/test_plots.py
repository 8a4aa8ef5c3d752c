"""Plots: a line and a name for each method, whatever it is called."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from dilo.eval.common.plots import COLOURS, LONGEST
from dilo.eval.saliency.output import f_threshold_plot, precision_recall_plot


def method(name, start=0.2):
    """Make a method whose precision rises and whose recall falls with the threshold."""
    t = np.linspace(0, 1, 256)
    return SimpleNamespace(
        name=name, precision=(start + (1 - start) * t)[None], recall=(1 - t)[None]
    )


@pytest.fixture
def figures(monkeypatch):
    """Keep the figures that are saved."""
    kept, save = [], Figure.savefig

    def keep(self, *arguments, **settings):
        kept.append(self)
        save(self, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def test_a_precision_recall_plot_has_a_line_a_method_and_a_dot_at_its_best(tmp_path, figures):
    scores = [method("one"), method("two", 0.5)]
    precision_recall_plot(scores, tmp_path / "plot")
    lines = figures[0].axes[0].get_lines()
    for score, line, dot in zip(scores, lines[::2], lines[1::2], strict=True):
        p, r = score.precision[0], score.recall[0]
        assert np.array_equal(line.get_xdata(), r)
        assert np.array_equal(line.get_ydata(), p)
        best = np.argmax(1.3 * p * r / np.maximum(0.3 * p + r, 1e-9))
        assert (dot.get_xdata(), dot.get_ydata()) == (r[best], p[best])
    assert (tmp_path / "plot").read_bytes().startswith(b"\x89PNG")


def test_an_f_threshold_plot_has_a_line_a_method(tmp_path, figures):
    f_threshold_plot([method("one")], tmp_path / "plot")
    line, dot = figures[0].axes[0].get_lines()
    p, r = method("one").precision[0], method("one").recall[0]
    expected = 1.3 * p * r / np.maximum(0.3 * p + r, 1e-9)
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert line.get_xdata().tolist() == list(range(256))
    assert dot.get_ydata() == pytest.approx(expected.max())


def test_names_are_shown_as_they_are_and_cut_if_long(tmp_path, figures):
    names = ["_hidden", "$x_1", "$\\bad{$", "long " * 20, "字"]
    f_threshold_plot([method(name) for name in names], tmp_path / "plot")
    texts = [text.get_text().split("  ", 1) for text in figures[0].legends[0].get_texts()]
    assert [name for _, name in texts] == [*names[:3], ("long " * 20)[: LONGEST - 1] + "…", "字"]
    p, r = method("x").precision[0], method("x").recall[0]
    best = (1.3 * p * r / np.maximum(0.3 * p + r, 1e-9)).max()
    assert {number for number, _ in texts} == {f"{best:.3f}"}


def test_the_legend_lies_beside_the_axes_and_inside_the_picture(tmp_path, figures):
    precision_recall_plot([method(f"m{i}") for i in range(28)], tmp_path / "plot")
    figure = figures[0]
    legend = figure.legends[0].get_window_extent()
    axes = figure.axes[0].get_window_extent()
    assert axes.x1 < legend.x0
    assert legend.y0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_28_methods_are_told_apart_by_colour_and_style(tmp_path, figures):
    precision_recall_plot([method(f"m{i}") for i in range(28)], tmp_path / "plot")
    lines = figures[0].axes[0].get_lines()[::2]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 28
    assert {line.get_color() for line in lines} == set(COLOURS)
