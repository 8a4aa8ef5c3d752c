"""The bank: drawn by the seed, each kind by its weight, and never more than fits."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from support.augmentation import on_gray
from support.pictures import Pictures

from dilo.pipeline.errors import DiloError
from dilo.train.augment import backgrounds as module
from dilo.train.augment.backgrounds import BackgroundBank, require_drawn, square_crop
from dilo.train.augment.paste import crop_and_resize
from dilo.train.augment.views import augment
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import CROPS, NOISE, TEXTURES, noise_draw, view_draw
from dilo.train.recipes import load_recipe

CPU = torch.device("cpu")
SIDE = 16
STORES = {
    TEXTURES: Pictures("textures", [(20, 20)] * 30),
    CROPS: Pictures("crops", [(17 + i, 40 - i) for i in range(20)]),
}


def recipe(**weights):
    settings = {"gray": 1, "textures": 1, "crops": 2, "noise": 1} | weights
    words = [f"paste.backgrounds.{word}={weight}" for word, weight in settings.items()]
    return load_recipe("moco-v2", [f"views.size={SIDE}", "paste.bank=40", *words])


def made_of(recipe, stores):
    return BackgroundBank(recipe.paste, stores, CPU, seed=recipe.seed, side=recipe.views.size)


def filled(epoch, made=None, stores=STORES):
    bank = made_of(made or recipe(), stores)
    bank.load_epoch(epoch)
    return bank


def test_kinds_have_their_share_and_no_picture_is_there_twice():
    bank = filled(0)
    # Of 40 by 1 : 2 : 1; there are only twenty crops.
    assert bank.counts == {TEXTURES: 10, CROPS: 20, NOISE: 10}
    assert bank.pictures.shape == (40, 3, SIDE, SIDE)
    assert bank.pictures.dtype == torch.uint8
    rows = bank.pictures[:10, 0, 0, 0].tolist()
    assert len(set(rows)) == 10
    assert sorted(bank.pictures[10:30, 0, 0, 0].tolist()) == list(range(20))


def test_a_gray_recipe_and_one_without_paste_need_no_bank():
    assert len(filled(0, recipe(textures=0, crops=0, noise=0), {}).pictures) == 0
    alone = load_recipe("moco-v2", ["paste.probability=0", "paste.backgrounds.noise=1"])
    assert len(filled(0, alone, {}).pictures) == 0


def test_an_epochs_bank_follows_from_seed_and_epoch_alone():
    fresh, used = filled(3), filled(2)
    before = used.pictures.clone()
    used.load_epoch(3)
    assert torch.equal(fresh.pictures, used.pictures)
    assert not torch.equal(before, used.pictures)
    other = dataclasses.replace(recipe(), seed=1)
    assert not torch.equal(filled(3, other).pictures, fresh.pictures)


def test_a_bank_is_filled_once_an_epoch():
    store = Pictures("textures", [(20, 20)] * 5)
    bank = made_of(recipe(crops=0, noise=0), {TEXTURES: store})
    for epoch in (0, 0, 1, 1):
        bank.load_epoch(epoch)
    assert len(store.asked) == 10


class Watched(Pictures):
    """Pictures that note which thread reads them, and are damaged from a reading on."""

    readings, damaged_from = (), 99

    def batch(self, rows):
        self.readings = (*self.readings, threading.current_thread().name)
        if len(self.readings) > self.damaged_from:
            raise DiloError("a shard is damaged")
        return super().batch(rows)


def watched_bank(store, epochs):
    made = recipe(crops=0, noise=0)
    return BackgroundBank(
        made.paste, {TEXTURES: store}, CPU, seed=made.seed, side=SIDE, epochs=epochs
    )


def test_the_next_epochs_pictures_are_read_by_a_thread_and_are_the_same():
    store = Watched("textures", [(20, 20)] * 30)
    bank = watched_bank(store, epochs=3)
    for epoch in range(3):
        bank.load_epoch(epoch)
        expected = filled(epoch, recipe(crops=0, noise=0), {TEXTURES: STORES[TEXTURES]})
        assert torch.equal(bank.pictures, expected.pictures)
    # None after the last epoch.
    assert store.readings == ("MainThread", "backgrounds_0", "backgrounds_0")


def test_an_epoch_out_of_turn_is_read_at_once():
    bank = watched_bank(Watched("textures", [(20, 20)] * 30), epochs=9)
    bank.load_epoch(0)
    bank.load_epoch(5)
    expected = filled(5, recipe(crops=0, noise=0), {TEXTURES: STORES[TEXTURES]})
    assert torch.equal(bank.pictures, expected.pictures)


def test_what_the_thread_could_not_read_is_said_when_its_epoch_begins():
    store = Watched("textures", [(20, 20)] * 30)
    store.damaged_from = 1
    bank = watched_bank(store, epochs=2)
    bank.load_epoch(0)
    with pytest.raises(DiloError, match="a shard is damaged"):
        bank.load_epoch(1)


def test_pictures_are_squares_of_the_stores_rows():
    bank = filled(0)
    for pictures, kind in ((bank.pictures[:10], TEXTURES), (bank.pictures[10:30], CROPS)):
        for picture in pictures.permute(0, 2, 3, 1).numpy():
            row = STORES[kind][int(picture[0, 0, 0])]
            edges = [square_crop(row, place, SIDE) for place in np.linspace(0, 0.999, 40)]
            assert any(np.array_equal(picture, edge) for edge in edges)
    assert_array_equal(bank.pictures[30:].numpy(), noise_draw(0, 0, NOISE, 10, SIDE))


@pytest.mark.parametrize(("height", "width"), [(20, 20), (20, 50), (50, 20), (8, 9)])
def test_a_square_reaches_both_ends_of_the_longer_side(height, width):
    picture = Pictures("crops", [(height, width)])[0]
    edge = min(height, width)
    for place, top, left in ((0.0, 0, 0), (1 - 1e-9, height - edge, width - edge)):
        cut = Image.fromarray(picture[top : top + edge, left : left + edge])
        expected = cut.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        assert_array_equal(square_crop(picture, place, SIDE), np.asarray(expected))


def test_behind_a_view_lies_the_box_of_the_picture_that_its_draw_picks():
    bank, made = filled(0), recipe()
    key = {"seed": 0, "epoch": 0, "view": 0, "height": 30, "width": 50}
    always = dataclasses.replace(
        made.paste,
        probability=1.0,
        backgrounds=dataclasses.replace(made.paste.backgrounds, gray=0.0),
    )
    draws = [view_draw(made.views, always, sample=sample, **key) for sample in range(60)]
    clear = torch.zeros(60, 3, SIDE, SIDE, dtype=torch.uint8)  # masks, too: nothing is in front
    views = dataclasses.replace(made.views, order=(), space="unit")
    result = augment(clear, clear[:, :1], stack_params(draws), views, bank)
    starts = dict(zip(bank.counts, itertools.accumulate((0, *bank.counts.values())), strict=False))
    for draw, picture in zip(draws, result, strict=True):
        index = starts[draw.paste.kind] + int(draw.paste.pick * bank.counts[draw.paste.kind])
        chosen = bank.pictures[index] / 255
        assert torch.equal(bank.image(draw.paste), chosen)
        box = torch.tensor([draw.paste.background_box])
        expected = crop_and_resize(chosen[None], box, (SIDE, SIDE))[0]
        torch.testing.assert_close(picture, expected, rtol=0, atol=1e-5)
    assert {draw.paste.kind for draw in draws} == {TEXTURES, CROPS, NOISE}


def test_the_last_pick_is_the_last_picture():
    bank = filled(0)
    last = dataclasses.replace(on_gray(), kind=CROPS, pick=1 - 2**-53)
    assert torch.equal(bank.image(last), bank.pictures[29] / 255)


def test_a_bank_that_does_not_fit_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(module, "ROOM", 1e-7)
    with pytest.raises(DiloError, match=r"paste.bank must fit .* got 40 pictures .* --set paste.b"):
        made_of(recipe(), STORES)


def test_a_kind_that_is_drawn_needs_a_store():
    with pytest.raises(DiloError, match=r"recipe r pastes on crops .* dilo-prep backgrounds"):
        require_drawn({TEXTURES: STORES[TEXTURES]}, recipe().paste, "r")


def test_a_store_that_is_never_drawn_is_refused():
    with pytest.raises(DiloError, match=r"a store of crops holds crops, which recipe r never"):
        require_drawn(STORES, recipe(crops=0).paste, "r")
    with pytest.raises(DiloError, match="is for recipes that paste, got r with"):
        require_drawn(STORES, unpasted(), "r")


def test_stores_and_weights_that_fit_pass():
    require_drawn(STORES, recipe().paste, "r")
    require_drawn({}, unpasted(), "r")


def unpasted():
    return dataclasses.replace(recipe().paste, probability=0.0)
