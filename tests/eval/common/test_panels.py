"""Figures: every panel in its place, in its frame."""

import numpy as np
from PIL import Image

from dilo.eval.common.panels import CELL, NO, YES, Block, Panel, panel_figure, write_figure

BLUE = np.zeros((10, 20, 3), np.uint8) + np.array([0, 0, 255], np.uint8)


def test_panels_are_whole_and_framed_by_what_they_are():
    for mark, colour in ((True, YES), (False, NO)):
        figure = panel_figure([Block("a", "", [[Panel(BLUE, ("x", "y"), mark)] * 2])])
        (axes,) = figure.axes
        assert len(axes.images) == 2
        left, right, bottom, top = axes.images[0].get_extent()
        assert (right - left, bottom - top) == (CELL, CELL / 2)
        assert {_hex(patch) for patch in axes.patches} == {colour}
        words = [text.get_text() for text in axes.texts]
        assert words == ["a", *["x", "y"] * 2]
    (plain,) = panel_figure([Block("a", "", [[Panel(BLUE)] * 2])]).axes
    assert not plain.patches


def test_a_tick_and_a_cross_differ_in_shape_and_not_in_colour_alone():
    strokes = []
    for mark in (True, False):
        (axes,) = panel_figure([Block("", "", [[Panel(BLUE, (), mark)]])]).axes
        strokes.append(axes.get_lines()[-1].get_ydata().size)
    assert strokes[0] != strokes[1]


def test_rows_of_blocks_are_in_line():
    blocks = [
        Block("a", "", [[Panel(BLUE)], [Panel(BLUE)]]),
        Block("b", "some words " * 9, [[Panel(BLUE)] * 3, [Panel(BLUE)] * 3], ["head", "head"]),
    ]
    (axes,) = panel_figure(blocks).axes
    tops = [image.get_extent()[3] for image in axes.images]
    assert sorted(set(tops)) == sorted({tops[0], tops[1]})
    assert [tops.count(top) for top in sorted(set(tops))] == [4, 4]


def test_words_are_cut_to_their_panel_and_a_dollar_is_a_dollar():
    long = Panel(BLUE, ("a name that is much too long for a panel", "$5$"))
    (axes,) = panel_figure([Block("", "", [[long]])]).axes
    _, cut, dollar = (text.get_text() for text in axes.texts)
    assert cut.startswith("a name that")
    assert cut.endswith("…")
    assert dollar == "$5$"


def test_a_figure_is_a_png_or_a_pdf_by_its_name(tmp_path):
    figure = panel_figure([Block("a", "", [[Panel(BLUE, ("\u732b",))]])])
    write_figure(figure, tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as image:
        assert image.format == "PNG"
    write_figure(figure, tmp_path / "figure.PDF")
    assert (tmp_path / "figure.PDF").read_bytes().startswith(b"%PDF")


def _hex(patch):
    """Write the colour of a patch."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in patch.get_facecolor()[:3])
