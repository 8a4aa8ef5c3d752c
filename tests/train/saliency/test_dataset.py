"""Examples: image and mask cut and mirrored alike, colours of the image alone, exact labels."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from support.objects import objects_and_masks, small, store_of
from support.pictures import Pictures

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import MEAN, STD
from dilo.train.augment.paste import crop_and_resize
from dilo.train.data.dataset import collate
from dilo.train.data.draws import CROPS, GRAY, window_draw
from dilo.train.data.resize import blur
from dilo.train.saliency.dataset import CropDataset, prepare_batch, standardise
from dilo.train.saliency.pairs import find_pairs, squash_image


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("objects")
    images, truth = objects_and_masks(root)
    return images, truth, store_of(images, root / "masks")


def lesson_of(pairs, recipe, keys):
    batch = collate([CropDataset(pairs, recipe)[key] for key in keys])
    return batch, prepare_batch(batch, recipe.data, soft=pairs.soft, step=3, epochs=0.5)


def test_an_example_is_the_squashed_image_and_mask_cut_at_the_drawn_place_and_mirrored(made):
    pairs, recipe = find_pairs(*made[:2]), small("data.flip=0.5")
    flips = set()
    for epoch in range(6):
        example = CropDataset(pairs, recipe)[epoch, 2]
        window = window_draw(recipe.data, seed=recipe.seed, epoch=epoch, sample=2)
        image, mask = pairs.read(2)
        cut = np.s_[window.top : window.top + 32, window.left : window.left + 32]
        seen = squash_image(image, window.side)[cut]
        found = pairs.squashed_mask(mask, window.side)[cut]
        if example.draws[0].flip:
            seen, found = seen[:, ::-1], found[:, ::-1]
        assert_array_equal(example.images[0], seen)
        assert_array_equal(example.masks[0], found)
        flips.add(example.draws[0].flip)
    assert flips == {False, True}


def test_an_example_is_a_function_of_its_key(made):
    pairs, recipe = find_pairs(*made[:2]), small()
    one, again = (CropDataset(pairs, recipe)[1, 4] for _ in range(2))
    assert one.draws == again.draws
    assert_array_equal(one.images, again.images)
    other = CropDataset(pairs, small("seed=1"))[1, 4]
    assert one.draws != other.draws


def test_without_jitter_a_network_sees_the_crop_over_its_own_maximum_standardised(made):
    pairs, recipe = find_pairs(*made[:2]), small("data.jitter=0")
    batch, lesson = lesson_of(pairs, recipe, [(0, i) for i in range(4)])
    for image, seen in zip(batch.images.numpy(), lesson.images, strict=True):
        expected = (image / image.max() - np.array(MEAN)[:, None, None]) / np.array(STD)[
            :, None, None
        ]
        assert_allclose(seen, expected, atol=1e-5)
    assert (lesson.step, lesson.epochs) == (3, 0.5)


def test_jitter_changes_colours_and_no_mask(made):
    pairs = find_pairs(*made[:2])
    keys = [(0, i) for i in range(4)]
    _, plain = lesson_of(pairs, small("data.jitter=0"), keys)
    _, jittered = lesson_of(pairs, small("data.jitter=0.4"), keys)
    assert torch.equal(plain.truth, jittered.truth)
    assert (plain.images - jittered.images).abs().mean() > 0.05


def test_labels_are_divided_by_their_maximum_and_saliency_is_not(made):
    for folder, soft in ((made[1], False), (made[2], True)):
        pairs, recipe = find_pairs(made[0], folder), small()
        batch, _ = lesson_of(pairs, recipe, [(0, i) for i in range(4)])
        dim = batch._replace(masks=batch.masks // 2)
        found = prepare_batch(dim, recipe.data, soft=soft, step=0, epochs=0)
        truth = (batch.masks // 2).numpy()
        tops = truth.max((1, 2, 3), keepdims=True)
        assert_allclose(found.truth, truth / 255 if soft else truth / tops, atol=1e-6)
        assert pairs.soft == soft


def test_a_black_image_and_an_empty_mask_stay_numbers():
    assert standardise(torch.zeros(1, 3, 4, 4)).isfinite().all()
    assert_allclose(standardise(torch.zeros(1, 3, 1, 1)).flatten(), -np.divide(MEAN, STD), 1e-5)


def test_an_image_or_mask_that_broke_is_replaced_by_the_next_and_counted(made, tmp_path):
    images, truth = objects_and_masks(tmp_path, 5)
    pairs = find_pairs(images, truth)
    (images / "001.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8) + np.uint8([1, 2, 3])).save(truth / "002.png")
    example = CropDataset(pairs, small())[0, 1]
    assert (example.row, example.unreadable) == (3, 1)
    assert collate([example] * 4).unreadable == 4


PASTED = ("data.jitter=0", "data.flip=0", "paste.probability=1", 'paste.blend="none"')
KEYS = [(0, i) for i in range(4)]


def standardised(image):
    return (image / image.max() - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]


def cut_of(pairs, recipe, row):
    """Give the crop and its mask, as of a recipe that does not paste."""
    example = CropDataset(pairs, recipe)[0, row]
    assert example.draws[0].paste is None
    return example.images[0].transpose(2, 0, 1), example.masks[0]


@pytest.mark.parametrize("alpha", ["soft", "binary"])
@pytest.mark.parametrize("ground", ["gray", "crops"])
def test_a_pasted_crop_lies_on_another_background_and_its_truth_is_the_alpha(made, alpha, ground):
    pairs = find_pairs(made[0], made[2])
    behind = ("paste.backgrounds.gray=0", "paste.backgrounds.crops=1", "paste.bank=3")
    recipe = small(*PASTED, f"paste.alpha={alpha}", *(behind if ground == "crops" else ()))
    stores = {CROPS: Pictures("crops", [(40, 50)] * 5)} if ground == "crops" else {}
    side = recipe.data.crop
    bank = BackgroundBank(recipe.paste, stores, torch.device("cpu"), seed=recipe.seed, side=side)
    bank.load_epoch(0)
    batch = collate([CropDataset(pairs, recipe)[key] for key in KEYS])
    lesson = prepare_batch(batch, recipe.data, bank, soft=True, step=0, epochs=0)
    assert (batch.parameters.paste.tolist(), batch.skipped) == ([True] * 4, 0)
    for row, (_, sample) in enumerate(KEYS):
        draw = CropDataset(pairs, recipe)[0, sample].draws[0].paste
        assert draw.kind == (GRAY if ground == "gray" else CROPS)
        image, mask = cut_of(pairs, small(*PASTED[:2]), sample)
        share = mask / 255 if alpha == "soft" else (mask >= 127.5).astype(float)
        background = draw.gray_level / 255
        if ground == "crops":
            box = torch.tensor([draw.background_box])
            background = crop_and_resize(bank.image(draw)[None], box, (side, side))[0].numpy()
        expected = image / 255 * share + background * (1 - share)
        assert_allclose(lesson.truth[row, 0], share, atol=1e-6)
        assert_allclose(lesson.images[row], standardised(expected), atol=1e-4)


def test_a_background_is_shown_at_the_scale_of_the_foreground_not_zoomed(made):
    pairs = find_pairs(made[0], made[2])
    recipe = small(
        *PASTED[:1], *PASTED[2:], "paste.backgrounds.gray=0", "paste.backgrounds.crops=1"
    )
    side = recipe.data.crop
    flips = set()
    for epoch in range(8):
        draw = CropDataset(pairs, recipe)[epoch, 1].draws[0]
        flips.add(draw.flip)
        mirrored = (0.0, float(side), float(side), float(-side))
        expected = mirrored if draw.flip else (0.0, 0.0, float(side), float(side))
        assert draw.paste.background_box == expected
    assert flips == {False, True}


def test_where_a_paste_blends_the_blurred_alpha_is_what_is_to_be_learnt(made):
    pairs = find_pairs(*made[:2])
    recipe = small(*PASTED[:3], 'paste.blend="gaussian"', "paste.blend_sigma=2")
    example = CropDataset(pairs, recipe)[0, 3]
    image, mask = cut_of(pairs, small(*PASTED[:2]), 3)
    assert example.draws[0].paste.blend_sigma == 2
    assert_array_equal(example.images[0].transpose(2, 0, 1), image)
    assert_array_equal(example.masks[0], blur(mask, (2, 2)))
    assert len(np.unique(example.masks[0])) > len(np.unique(mask))


def test_a_crop_with_too_little_foreground_is_not_pasted_but_counted(made):
    pairs = find_pairs(*made[:2])
    shares = [cut_of(pairs, small(*PASTED[:2]), row)[1].mean() / 255 for row in range(4)]
    bound = sorted(shares)[2]
    batch = collate(
        [CropDataset(pairs, small(*PASTED, f"paste.min_coverage={bound}"))[k] for k in KEYS]
    )
    assert batch.parameters.paste.tolist() == [share >= bound for share in shares]
    assert batch.skipped == 2
    for row, share in enumerate(shares):
        if share < bound:
            image, mask = cut_of(pairs, small(*PASTED[:2]), row)
            assert_array_equal(batch.images[row], image)
            assert_array_equal(batch.masks[row, 0], mask)


def test_a_crop_without_foreground_is_never_pasted(made, tmp_path):
    images, truth = objects_and_masks(tmp_path, 3)
    Image.fromarray(np.zeros((51, 59), np.uint8)).save(truth / "001.png")
    example = CropDataset(find_pairs(images, truth), small(*PASTED, "paste.min_coverage=0"))[0, 1]
    assert (example.draws[0].paste, example.skipped, example.masks[0].any()) == (None, 1, False)
