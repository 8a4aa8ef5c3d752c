"""Figures: every panel in its place, in its frame."""

import numpy as np

from dilo.eval.common.panels import CELL, FRAME, NO, YES, Block, Panel, panel_figure

BLUE = np.zeros((10, 10, 3), np.uint8) + np.array([0, 0, 255], np.uint8)


def pixels_of(figure, colour):
    return int((np.asarray(figure) == colour).all(axis=2).sum())


def test_panels_are_whole_and_framed_by_what_they_are():
    frame = (CELL + 2 * FRAME) ** 2 - CELL**2
    for mark, colour, other in ((True, YES, NO), (False, NO, YES)):
        figure = panel_figure([Block("a", "", [[Panel(BLUE, ("x", "y"), mark)] * 2])])
        assert 2 * frame < pixels_of(figure, colour) < 2 * (frame + 26 * 26)
        assert pixels_of(figure, other) == 0
        assert 2 * (CELL**2 - 26 * 26) <= pixels_of(figure, (0, 0, 255)) < 2 * CELL**2
    plain = panel_figure([Block("a", "", [[Panel(BLUE)] * 2])])
    assert pixels_of(plain, YES) == pixels_of(plain, NO) == 0
    assert pixels_of(plain, (0, 0, 255)) == 2 * CELL**2


def test_a_tick_and_a_cross_differ_in_shape_and_not_in_colour_alone():
    marks = []
    for mark in (True, False):
        figure = np.asarray(panel_figure([Block("", "", [[Panel(BLUE, (), mark)]])]))
        marks.append((figure == 255).all(axis=2))
    assert (marks[0] != marks[1]).sum() > 30


def test_rows_of_blocks_are_in_line():
    blocks = [
        Block("a", "", [[Panel(BLUE)], [Panel(BLUE)]]),
        Block("b", "some words " * 9, [[Panel(BLUE)] * 3, [Panel(BLUE)] * 3], ["head", "head"]),
    ]
    figure = np.asarray(panel_figure(blocks))
    blue = (figure == (0, 0, 255)).all(axis=2)
    across = blue.sum(axis=1)
    assert sorted(set(across.tolist())) == [0, 4 * CELL]
    assert (across > 0).sum() == 2 * CELL
