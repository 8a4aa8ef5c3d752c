"""The pixels' curve: a line a kind of maps."""

import numpy as np
from matplotlib.figure import Figure

from dilo.eval.localize.metrics import MethodResult
from dilo.eval.localize.output import pixel_plot
from dilo.eval.localize.scoring import MethodScores


def row(name, counts):
    score = MethodScores()
    for value, (on, off) in counts.items():
        score.pixels[:, value] = on, off
    return MethodResult(name, "cam", score, [], True)


def test_the_curve_begins_where_something_is_found_and_its_dot_is_at_the_best_f(
    tmp_path, monkeypatch
):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    rows = [row("good", {900: (4, 0), 500: (4, 2), 0: (0, 6)}), row("none", {0: (8, 8)})]
    pixel_plot(rows, tmp_path / "plot")
    line, dot, flat, _ = figures[0].axes[0].get_lines()
    assert sorted(set(line.get_xdata())) == [0.5, 1.0]
    assert line.get_ydata()[[0, -1]].tolist() == [1.0, 0.5]
    assert (dot.get_xdata(), dot.get_ydata()) == (1.0, 0.8)
    assert flat.get_xdata().tolist() == [1.0]
    assert np.array_equal(flat.get_ydata(), [0.5])
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts == ["0.900  good", "0.500  none"]
    assert (tmp_path / "plot").read_bytes().startswith(b"\x89PNG")
