"""A batch of draws in columns: a row a view, and its paste's or none."""

import dataclasses

import torch

from dilo.train.data.dataset import ViewParams, stack_params
from dilo.train.data.draws import PasteDraw, view_draw
from dilo.train.recipes.recipe import BackgroundsRecipe, PasteRecipe, ViewsRecipe

VIEWS = ViewsRecipe(order=("jitter", "gray", "blur"), jitter=0.8)
PASTE = PasteRecipe(probability=0.5, backgrounds=BackgroundsRecipe(crops=1.0, noise=1.0))
DRAWS = [
    view_draw(VIEWS, PASTE, seed=0, epoch=0, sample=sample, view=0, height=50, width=70)
    for sample in range(12)
]


def test_every_parameter_has_a_row_for_each_draw():
    parameters = stack_params(DRAWS)
    pasted = [draw.paste is not None for draw in DRAWS]
    assert 0 < sum(pasted) < len(DRAWS)
    assert parameters.paste.tolist() == pasted
    of_pastes = {field.name for field in dataclasses.fields(PasteDraw)}
    for name in set(ViewParams._fields) - {"paste"}:
        values = getattr(parameters, name)
        assert len(values) == len(DRAWS)
        if name in of_pastes:
            expected = [getattr(draw.paste, name) for draw in DRAWS if draw.paste]
            values = values[parameters.paste]
        else:
            expected = [getattr(draw, name) for draw in DRAWS]
        assert torch.equal(values, torch.tensor(expected, dtype=values.dtype))


def test_nothing_that_is_drawn_gets_lost_on_the_way():
    drawn = {field.name for field in dataclasses.fields(DRAWS[0])}
    drawn |= {field.name for field in dataclasses.fields(PasteDraw)}
    # The crop, its flip and the blur of the mask are done before the device.
    assert drawn - set(ViewParams._fields) == {"box", "flip", "blend_sigma"}


def test_a_pick_keeps_its_double_precision():
    assert stack_params(DRAWS).pick.dtype == torch.float64


def test_rows_are_taken_by_position_or_by_slice():
    parameters = stack_params(DRAWS)
    chosen = torch.tensor([7, 2, 2])
    for column, taken in zip(parameters, parameters.rows(chosen), strict=True):
        assert torch.equal(taken, column[chosen])
    assert torch.equal(parameters.rows(slice(3, 5)).hue, parameters.hue[3:5])
