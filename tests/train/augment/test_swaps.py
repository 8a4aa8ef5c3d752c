"""Matched negatives: pictures read literally, who swaps with whom, and what a GPU is asked."""

import dataclasses

import pytest
import torch
from support.augmentation import smooth_crops
from support.gpu import FakeGpu, spec
from support.pictures import Pictures
from torch.testing import assert_close

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.swaps import next_in_group, swap_foregrounds
from dilo.train.augment.views import augment
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import CROPS, view_draw
from dilo.train.recipes import load_recipe

COUNT, SIZE, GROUP = 8, 20, 4
CPU = torch.device("cpu")
#: The foreground of sample 2 is not in its crop; the mask of sample 5 is of no use.
ABSENT, USELESS = 2, 5


def made(*words, paste=0.5):
    """Draw queries on crops and on gray; give a recipe, images, masks, draws and a bank."""
    words = (f"paste.probability={paste}", "paste.backgrounds.crops=1", "paste.bank=9", *words)
    recipe = load_recipe("moco-v2", [f"views.size={SIZE}", *words])
    key = {"seed": 10, "epoch": 0, "view": 0, "height": 50, "width": 70}
    draws = [view_draw(recipe.views, recipe.paste, sample=i, **key) for i in range(COUNT)]
    images, masks = smooth_crops(COUNT, SIZE)
    masks[:, :, :, :6] = 0
    masks[ABSENT] = 0
    draws[USELESS] = dataclasses.replace(draws[USELESS], paste=None)
    crops = recipe.paste.backgrounds.crops > 0
    stores = {CROPS: Pictures("crops", [(60, 90)] * 9)} if crops else {}
    bank = BackgroundBank(recipe.paste, stores, CPU, seed=10, side=SIZE)
    bank.load_epoch(0)
    return recipe, images, masks, draws, bank


def has_mask():
    return torch.arange(COUNT) != USELESS


def swapped(recipe, images, masks, draws, bank, **options):
    options = {"has_mask": has_mask(), "min_coverage": 0.01, "group": GROUP} | options
    return swap_foregrounds(images, masks, stack_params(draws), recipe.views, bank, **options)


def literal_donor(query, group=GROUP):
    """Go round the group of a query to the next other sample that shows a foreground."""
    first = query // group * group
    for step in range(1, group):
        other = first + (query - first + step) % group
        if other not in (ABSENT, USELESS):
            return other
    return None


def test_the_foreground_of_the_next_lies_on_the_background_of_the_query():
    recipe, images, masks, draws, bank = made("views.order=[]", "views.space=unit")
    kinds = {draw.paste and draw.paste.kind for draw in draws}
    assert len(kinds) == 3  # unpasted, on gray, on crops
    swaps = swapped(recipe, images, masks, draws, bank)
    # Of pasted queries: what lies behind them, found by pasting nothing.
    behind = augment(images, torch.zeros_like(masks), stack_params(draws), recipe.views, bank)
    assert swaps.present.tolist() == [i != USELESS for i in range(COUNT)]
    for i in range(COUNT):
        if i == USELESS:
            continue
        other = literal_donor(i)
        for y in range(0, SIZE, 3):
            for x in range(SIZE):
                alpha = float(masks[other, 0, y, x]) / 255
                if draws[i].paste is None:  # its own object is covered too
                    alpha = 1 - (1 - alpha) * (1 - float(masks[i, 0, y, x]) / 255)
                for c in range(3):
                    expected = alpha * float(images[other, c, y, x]) / 255
                    expected += (1 - alpha) * float(behind[i, c, y, x])
                    found = float(swaps.views[i, c, y, x])
                    assert found == pytest.approx(expected, abs=0.51 / 255)


def test_where_both_have_background_a_swap_is_its_query():
    # Contrast looks at the whole picture, so that it may differ.
    jitter = "views.jitter_strength=[0.4, 0, 0.4, 0.1]"
    recipe, images, masks, draws, bank = made(jitter, "views.blur=0")
    swaps = swapped(recipe, images, masks, draws, bank)
    queries = augment(images, masks, stack_params(draws), recipe.views, bank)
    for i in set(range(COUNT)) - {USELESS}:
        assert_close(swaps.views[i, :, :, :6], queries[i, :, :, :6], rtol=0, atol=1e-6)
        assert (swaps.views[i, :, :, 6:] - queries[i, :, :, 6:]).abs().max() > 0.1


@pytest.mark.parametrize("group", [1, 2, 3, 6])
def test_the_next_is_found_going_round_the_group(group):
    generator = torch.Generator().manual_seed(0)
    for share in (0.2, 0.6):
        eligible = torch.rand(12, generator=generator) < share
        index, found = next_in_group(eligible, group)
        for i in range(12):
            first = i // group * group
            others = [first + (i - first + step) % group for step in range(1, group)]
            choices = [other for other in others if eligible[other]]
            assert bool(found[i]) == bool(choices)
            assert int(index[i]) == (choices or [i])[0]


def test_a_group_in_which_nobody_else_shows_a_foreground_has_no_swap():
    recipe, images, masks, draws, bank = made(paste=0)
    alone = torch.zeros(COUNT, dtype=torch.bool)
    alone[1] = True
    swaps = swapped(recipe, images, masks, draws, bank, has_mask=alone)
    assert not swaps.present.any()
    assert swaps.views.isfinite().all()
    rest = swapped(recipe, images, masks, draws, bank, min_coverage=0.99)
    assert not rest.present.any()


def test_a_swap_hangs_on_its_group_alone_so_parts_and_ranks_make_the_same():
    recipe, images, masks, draws, bank = made()
    whole = swapped(recipe, images, masks, draws, bank)
    for first in range(0, COUNT, GROUP):
        part = slice(first, first + GROUP)
        some = images[part], masks[part], draws[part]
        found = swapped(recipe, *some, bank, has_mask=has_mask()[part])
        assert torch.equal(found.views, whole.views[part])
        assert torch.equal(found.present, whole.present[part])


def test_a_gpu_waits_for_nothing_and_is_asked_the_same_whatever_is_drawn():
    recipe, images, masks, draws, _ = made("paste.backgrounds.crops=0")
    calls = []
    with FakeGpu() as gpu:
        tensors = [gpu.put(tensor) for tensor in (images, masks)]
        usable = gpu.put(has_mask())
        for some in (draws, draws[::-1]):
            gpu.reset()
            swaps = swapped(recipe, *tensors, some, None, has_mask=usable, dtype=torch.bfloat16)
            calls.append(list(gpu.calls))
        assert spec(swaps.views).channels_last
        assert swaps.views.dtype == torch.bfloat16
    assert gpu.waits == []
    assert len(gpu.copies) == 2  # which are pasted, and the table
    assert calls[0] == calls[1]
    assert len(calls[0]) < 45
