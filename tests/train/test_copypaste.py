"""The transform: any image type in, the same type out, and the trainer's picture for a draw."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import Pictures
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from dilo.train import copypaste as module
from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import denormalise
from dilo.train.augment.paste import paste_image
from dilo.train.augment.views import augment
from dilo.train.copypaste import CopyPaste
from dilo.train.data.crop import crop, mask_to_alpha
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import CROPS, view_draw
from dilo.train.recipes import load_recipe

ALWAYS = {"probability": 1.0, "blend": "none"}


def smooth(seed, height=90, width=120, channels=3):
    """Make a picture as smooth as a photograph's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, channels), np.uint8).squeeze()
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


IMAGE = torch.from_numpy(smooth(0)).permute(2, 0, 1).contiguous()
MASK = tv_tensors.Mask(torch.from_numpy(smooth(1, channels=1)))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def same_draws(transform, *samples):
    torch.manual_seed(5)
    return transform(*samples)


def test_the_mask_goes_and_the_image_keeps_its_type_and_size():
    paste = CopyPaste(**ALWAYS)
    assert type(paste((IMAGE, MASK))) is torch.Tensor
    assert type(paste((tv_tensors.Image(IMAGE), MASK))) is tv_tensors.Image
    assert paste((IMAGE / 255, MASK)).dtype == torch.float32
    assert paste((IMAGE.half() / 255, MASK)).dtype == torch.float16
    picture = paste((functional.to_pil_image(IMAGE), MASK))
    assert isinstance(picture, Image.Image)
    assert picture.size == (120, 90)
    assert paste((IMAGE, MASK)).shape == IMAGE.shape


def test_every_type_of_image_and_of_mask_gives_the_same_picture():
    paste = CopyPaste(probability=1.0)
    expected = same_draws(paste, (IMAGE, MASK)).float()
    level = np.asarray(MASK)
    for image in (tv_tensors.Image(IMAGE), IMAGE / 255, functional.to_pil_image(IMAGE)):
        for mask in (MASK, MASK / 255, MASK[None], level, Image.fromarray(level)):
            found = same_draws(paste, (image, mask))
            found = functional.pil_to_tensor(found) if isinstance(found, Image.Image) else found
            found = found * 255 if found.is_floating_point() else found.float()
            assert (found - expected).abs().max() <= 1.01


def test_a_batch_is_its_images_one_by_one():
    paste = CopyPaste(probability=0.5, backgrounds={"gray": 1, "noise": 1})
    images = torch.stack([IMAGE, 255 - IMAGE, IMAGE, IMAGE])
    masks = tv_tensors.Mask(torch.stack([MASK, MASK, 255 - MASK, MASK]))
    together = same_draws(paste, (images, masks))
    assert together.shape == images.shape
    draws = [same_draws(lambda: [paste.make_draw((90, 120)) for _ in range(4)])][0]
    pasted = [draw is not None for draw in draws]
    assert 0 < sum(pasted) < 4
    for image, out, was in zip(images, together, pasted, strict=True):
        assert torch.equal(image, out) != was
    assert same_draws(paste, (images, masks[:, None])).equal(together)


def test_foreground_stays_in_place_and_background_is_one_level():
    hard = tv_tensors.Mask(torch.zeros(90, 120, dtype=torch.uint8))
    hard[20:60, 30:90] = 255
    found = CopyPaste(**ALWAYS)((IMAGE, hard))
    assert torch.equal(found[:, 20:60, 30:90], IMAGE[:, 20:60, 30:90])
    outside = found[:, hard == 0]
    assert outside.unique().numel() == 1
    assert outside[0, 0] <= 254


def test_a_mask_of_the_stores_size_is_stretched():
    square = Image.fromarray(np.asarray(MASK)).resize((64, 64), Image.Resampling.BILINEAR)
    full = square.resize((120, 90), Image.Resampling.BILINEAR)
    paste = CopyPaste(probability=1.0)
    expected = same_draws(paste, (IMAGE, np.asarray(full)))
    assert torch.equal(same_draws(paste, (IMAGE, np.asarray(square))), expected)


def test_pastes_are_as_frequent_as_asked_and_follow_torchs_seed():
    paste = CopyPaste()
    drawn = [paste.make_draw((90, 120)) for _ in range(4000)]
    share = np.mean([draw is not None for draw in drawn])
    assert abs(share - 0.3) < 5 * np.sqrt(0.21 / 4000)
    levels = np.array([draw.gray_level for draw in drawn if draw])
    assert levels.min() < 5
    assert 250 <= levels.max() <= 254
    assert torch.equal(same_draws(paste, (IMAGE, MASK)), same_draws(paste, (IMAGE, MASK)))


def test_what_is_not_pasted_comes_back_to_the_last_bit():
    image = torch.rand(3, 20, 30)
    assert CopyPaste(probability=0.0)((image, MASK[:20, :30])) is image
    empty = torch.zeros(20, 30, dtype=torch.uint8)
    assert torch.equal(CopyPaste(**ALWAYS)((image, empty)), image)
    empty[0, :3] = 255  # 3 of 600 pixels
    assert torch.equal(CopyPaste(**ALWAYS, min_coverage=0.006)((image, empty)), image)
    assert not torch.equal(CopyPaste(**ALWAYS, min_coverage=0.004)((image, empty)), image)


def test_a_binary_alpha_has_no_half_tones():
    found = CopyPaste(**ALWAYS, alpha="binary", threshold=0.5)((IMAGE, MASK))
    inside = MASK >= 127.5
    assert torch.equal(found[:, inside], IMAGE[:, inside])
    assert found[:, ~inside].unique().numel() == 1


def test_inside_compose_and_with_a_label():
    chain = v2.Compose([CopyPaste(), v2.RandomResizedCrop(32), v2.ToDtype(torch.float32)])
    assert chain((IMAGE, MASK)).shape == (3, 32, 32)
    image, label = CopyPaste()(IMAGE, MASK, 7)
    assert image.shape == IMAGE.shape
    assert label == 7


def test_backgrounds_come_from_a_store(monkeypatch):
    store = Pictures("crops", [(30, 40)] * 12)
    monkeypatch.setattr(module, "BackgroundStore", lambda folder: store)
    paste = CopyPaste(**ALWAYS, backgrounds={"gray": 1, "some/store": 3}, side=20)
    none = np.zeros((90, 120), np.uint8)
    none[0] = 255  # enough to be pasted
    kinds = []
    for _ in range(200):
        found = paste((IMAGE, none))
        kinds.append(found[:, 2:].unique().numel() == 1)  # gray is one level
        if not kinds[-1]:
            row = found[0, 2:].unique()
            assert row.numel() == 1
            assert row.item() < 12
    assert abs(np.mean(kinds) - 0.25) < 0.16


def test_the_transform_survives_pickling():
    paste = pickle.loads(pickle.dumps(CopyPaste(probability=1.0)))
    assert paste((IMAGE, MASK)).shape == IMAGE.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probability": 2.0}, r"paste.probability must be in \[0, 1\], got 2.0"),
        ({"blend": "poisson"}, "paste.blend must be one of"),
        ({"alpha": "hard"}, "paste.alpha must be one of"),
        ({"side": 0}, "side must be at least 1, got 0"),
        ({"backgrounds": {"gray": -1}}, "paste.backgrounds must be finite and >= 0"),
        ({"backgrounds": {"noise": 0}}, "paste.backgrounds must not all be 0"),
    ],
)
def test_values_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CopyPaste(**arguments)


@pytest.mark.parametrize(
    ("sample", "kind", "message"),
    [
        (IMAGE, TypeError, r"takes an image and its mask, \(image, mask\), got Tensor"),
        ((IMAGE,), TypeError, "got tuple"),
        (("image", MASK), TypeError, "image must be a PIL image or a tensor, got str"),
        ((IMAGE[:1], MASK), ValueError, r"image must be of shape \(3, H, W\)"),
        ((IMAGE.int(), MASK), TypeError, "image must be uint8 or floating point, got torch.int32"),
        ((IMAGE, MASK.int()), TypeError, "mask must be uint8, floating point or bool, got int32"),
        ((IMAGE, IMAGE), ValueError, r"mask must be of shape \(h, w\) for each of 1 images"),
    ],
)
def test_samples_that_do_not_fit_are_refused(sample, kind, message):
    with pytest.raises(kind, match=message):
        CopyPaste()(sample)


def test_a_mask_of_0_and_1_is_pasted_as_one_of_0_and_255_with_one_warning():
    labels = (MASK > 128).to(torch.uint8)
    paste = CopyPaste(**ALWAYS)
    expected = same_draws(paste, IMAGE, labels * 255)
    with pytest.warns(UserWarning, match="a uint8 mask of 0 and 1 is taken as one of 0 and 255"):
        assert torch.equal(same_draws(paste, IMAGE, labels), expected)
    assert torch.equal(same_draws(paste, IMAGE, labels), expected)  # a second warning would fail
    assert torch.equal(same_draws(paste, IMAGE, labels.bool()), expected)
    assert not torch.equal(expected, IMAGE)


UNIT = MASK.float() / 255
UNIT_IMAGE = IMAGE.float() / 255


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (IMAGE, MASK.float(), r"mask must lie in \[0, 1\], got 0 to 255: divide by 255"),
        (IMAGE, UNIT * 2 - 1, r"mask must lie in \[0, 1\], got -1 to 1: scale it"),
        (IMAGE, torch.where(UNIT > 0.5, torch.nan, UNIT), r"mask must lie in \[0, 1\], got nan"),
        (IMAGE, MASK.T, "its image, 90 x 120 .*, or be square, got 120 x 90: transpose it"),
        (IMAGE, MASK[:40], "or be square, got 40 x 120: crop and resize it as its image"),
        (
            IMAGE,
            Image.fromarray(np.asarray(MASK)).convert("P"),
            r"mask must be gray, got a picture with a palette",
        ),
        (IMAGE, MASK[:0, :0], r"mask must be of shape \(h, w\) .* got \(1, 0, 0\)"),
        (UNIT_IMAGE * 4 - 2, MASK, r"image must lie in \[0, 1\], got -2 .*: paste before v2.Norm"),
        (UNIT_IMAGE * 255, MASK, r"image must lie in \[0, 1\], got .* to 255: divide by 255"),
        (UNIT_IMAGE / 0, MASK, r"image must lie in \[0, 1\], got"),
    ],
)
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_what_cannot_be_meant_is_refused_whether_or_not_it_would_be_pasted(
    image, mask, message, probability
):
    with pytest.raises(ValueError, match=message):
        CopyPaste(probability)(image, mask)


def test_what_a_bicubic_resize_leaves_beyond_the_ends_is_no_fault():
    image = functional.resize(UNIT_IMAGE, [45, 60], functional.InterpolationMode.BICUBIC)
    mask = functional.resize(UNIT[None], [45, 60], functional.InterpolationMode.BICUBIC)[0]
    assert CopyPaste(**ALWAYS)(image * 1.1 - 0.05, mask * 1.1 - 0.05).shape == (3, 45, 60)


def test_a_transform_says_what_it_does():
    said = repr(CopyPaste(0.5, backgrounds={"gray": 2, "noise": 1}, blend="none"))
    assert said.startswith("CopyPaste(probability=0.5, backgrounds={'gray': 2.0, 'noise': 1.0}, ")
    assert "blend='none', blend_sigma=5, alpha='soft', threshold=0.5" in said
    assert said.endswith("min_coverage=0.01, side=224)")


@pytest.mark.parametrize("blend", ["none", "gaussian"])
@pytest.mark.parametrize("kind", ["gray", "crops"])
@pytest.mark.parametrize("flip", [False, True])
def test_pasting_before_the_crop_is_pasting_after_it(kind, blend, flip):
    words = [f"paste.backgrounds.{word}={int(word == kind)}" for word in ("gray", "crops")]
    recipe = load_recipe("moco-v2", ["views.size=48", "views.order=[]", *words])
    recipe = dataclasses.replace(
        recipe,
        views=dataclasses.replace(recipe.views, flip=float(flip)),
        paste=dataclasses.replace(recipe.paste, probability=1.0, blend=blend),
    )
    stores = {CROPS: Pictures("crops", [(60, 60)] * 8)} if kind == "crops" else {}
    bank = BackgroundBank(recipe.paste, stores, torch.device("cpu"), seed=recipe.seed, side=48)
    bank.load_epoch(0)
    # As large as images are, for the mask's own grid to be as fine as their pixels.
    image, mask = smooth(0, 375, 500), smooth(1, 224, 224, 1)
    worst = []
    for sample in range(6):
        key = {"seed": 0, "epoch": 0, "sample": sample, "view": 0}
        draw = view_draw(recipe.views, recipe.paste, **key, height=375, width=500)
        view, alpha = crop(image, mask, draw, 48)
        after = augment(
            torch.tensor(view).permute(2, 0, 1)[None],
            torch.tensor(alpha)[None, None],
            stack_params([draw]),
            recipe.views,
            bank,
        )
        before = by_transform(image, mask, draw, recipe, bank)
        worst.append((denormalise(after)[0].int() - before.int()).abs().max().item())
    assert max(worst) <= 3


def by_transform(image, mask, draw, recipe, bank):
    """Paste the whole image by the draw of a view, then crop and flip by torchvision."""
    top, left, tall, wide = draw.box
    scale = max(1, image.shape[0] / 48, image.shape[1] / 48)
    seen_top, seen_left, _, seen_wide = draw.paste.background_box
    seen_left += min(0, seen_wide)
    behind = (
        seen_top - top / scale,
        seen_left - left / scale,
        image.shape[0] / scale,
        image.shape[1] / scale,
    )
    whole = dataclasses.replace(draw.paste, background_box=behind)
    paste = CopyPaste(probability=1.0)
    pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
    picture = bank.image(whole) if bank.counts else None
    pasted = paste_image(pixels, mask_to_alpha(mask, paste.recipe), whole, picture)
    levels = (255 * pasted).round().to(torch.uint8)
    view = functional.resized_crop(levels, top, left, tall, wide, [48, 48], antialias=True)
    return functional.horizontal_flip(view) if draw.flip else view
