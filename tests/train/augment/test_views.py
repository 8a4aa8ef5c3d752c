"""The batched augmentation: torchvision's, one sample at a time, by the same draws."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from support.augmentation import NEUTRAL, RADIUS, jittered, on_gray, one_by_one, smooth_crops

from dilo.train.augment import loops
from dilo.train.augment.color import MEAN, STD, denormalise
from dilo.train.augment.loops import compile_loops
from dilo.train.augment.plain import augment_plainly
from dilo.train.augment.table import view_table
from dilo.train.augment.views import augment
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import ORDERS, view_draw
from dilo.train.recipes.recipe import PasteRecipe, ViewsRecipe

SIZE = 40
V1 = ViewsRecipe(size=SIZE)
V2 = ViewsRecipe(
    size=SIZE, order=("jitter", "gray", "blur"), jitter=0.8, jitter_strength=(0.4, 0.4, 0.4, 0.1)
)
PLAIN = view_draw(
    dataclasses.replace(V1, order=()),
    PasteRecipe(probability=0.0),
    seed=0,
    epoch=0,
    sample=0,
    view=0,
    height=SIZE,
    width=SIZE,
)


def drawn(views, count, probability=0.3):
    return [
        view_draw(
            views,
            PasteRecipe(probability=probability),
            seed=0,
            epoch=0,
            sample=sample,
            view=0,
            height=SIZE,
            width=SIZE,
        )
        for sample in range(count)
    ]


def pictures(count, seed=0):
    return smooth_crops(count, SIZE, seed)


def run(images, masks, draws, views):
    return augment(images, masks, stack_params(draws), views)


def colours(normalised):
    """Undo the normalisation, to 0..255 without rounding."""
    return (normalised * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255


def assert_as_torchvision(draws, views, seed=0):
    images, masks = pictures(len(draws), seed=seed)
    result = run(images, masks, draws, views)
    expected = [one_by_one(*sample, views) for sample in zip(images, masks, draws, strict=True)]
    # 1e-5 of the image's range; normalised, that is 1e-5 / 0.224.
    torch.testing.assert_close(result, torch.stack(expected), rtol=0, atol=1e-5 / min(STD))


@pytest.mark.parametrize("views", [V1, V2], ids=["moco_v1", "moco_v2"])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_batch_is_torchvision_sample_by_sample(views, probability):
    assert_as_torchvision(drawn(views, 48, probability), views)


@pytest.mark.parametrize("order", [*itertools.permutations(("jitter", "gray", "blur"))])
def test_colours_are_done_in_the_recipes_order(order):
    views = dataclasses.replace(V2, order=order)
    draws = [
        dataclasses.replace(one, jitter=True, gray=True, blur_sigma=1.0) for one in drawn(views, 4)
    ]
    assert_as_torchvision(draws, views)


def test_every_sample_has_its_own_order_of_jitter():
    draws = [
        dataclasses.replace(one, jitter=True, order=order)
        for one, order in zip(drawn(V1, len(ORDERS)), ORDERS, strict=True)
    ]
    assert_as_torchvision(draws, V1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("brightness", x) for x in (0.0, 0.6, 1.4, 3.0)),
        *(("contrast", x) for x in (0.0, 0.6, 1.4, 3.0)),
        *(("saturation", x) for x in (0.0, 0.6, 1.4, 3.0)),
        *(("hue", x) for x in (-0.5, -0.1, 0.0, 1 / 3, 0.5)),
    ],
)
def test_each_operation_of_the_jitter_is_torchvisions(name, value):
    draw = dataclasses.replace(PLAIN, jitter=True, **(NEUTRAL | {name: value}))
    assert_as_torchvision([draw] * 3, V1)


def test_hue_is_right_for_grays_primaries_and_ties():
    levels = torch.tensor([0, 1, 127, 254, 255], dtype=torch.uint8)
    image = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 25, 5)
    image = torch.nn.functional.pad(image, (0, 20))
    draw = dataclasses.replace(PLAIN, jitter=True, **(NEUTRAL | {"hue": 0.17}))
    result = run(image, image[:, :1], [draw], V1)
    expected = one_by_one(image[0], None, draw, V1)
    torch.testing.assert_close(result[0], expected, rtol=0, atol=1e-5 / min(STD))


def test_jitter_that_changes_nothing_changes_nothing():
    images, masks = pictures(2)
    still = dataclasses.replace(PLAIN, jitter=True, **NEUTRAL)
    result = run(images, masks, [still, PLAIN], V1)
    assert torch.equal(result, run(images, masks, [PLAIN, PLAIN], V1))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0])
def test_blur_is_torchvisions_with_replicated_edges(sigma):
    views = dataclasses.replace(V2, order=("blur",))
    assert_as_torchvision([dataclasses.replace(PLAIN, blur_sigma=sigma)] * 2, views)


def test_blur_keeps_a_flat_picture_flat_up_to_its_edges():
    images = torch.full((1, 3, SIZE, SIZE), 77, dtype=torch.uint8)
    draw = dataclasses.replace(PLAIN, blur_sigma=2.0)
    result = colours(run(images, images[:, :1], [draw], dataclasses.replace(V2, order=("blur",))))
    torch.testing.assert_close(result, torch.full_like(result, 77), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("sigma", "most"),
    # Pillow sums three boxes instead of a Gaussian, and rounds after each. Far under a pixel
    # the boxes keep the variance asked for; a Gaussian sampled at whole pixels loses it.
    [(0.3, 9.0), (0.5, 4.0), (1.0, 4.0), (2.0, 4.0)],
)
def test_blur_is_pillows_up_to_its_boxes(sigma, most):
    images, masks = pictures(3)
    views = dataclasses.replace(V2, order=("blur",))
    draw = dataclasses.replace(PLAIN, blur_sigma=sigma)
    result = colours(run(images, masks, [draw] * 3, views))
    for image, ours in zip(images, result, strict=True):
        theirs = pillow(image).filter(ImageFilter.GaussianBlur(sigma))
        difference = (ours - tensor(theirs)).abs()
        assert difference[:, RADIUS:-RADIUS, RADIUS:-RADIUS].max() < most
        # At the edges each box replicates what the box before it made there.
        assert difference.max() < 9
        assert difference.mean() < 1.2


def pillow(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def pillow_differences(changed):
    """Compare jitter of some of the operations, in every order, with Pillow's."""
    images, masks = pictures(len(ORDERS))
    neutral = {name: value for name, value in NEUTRAL.items() if name not in changed}
    draws = [
        dataclasses.replace(one, jitter=True, order=order, gray=False, paste=None, **neutral)
        for one, order in zip(drawn(V1, len(ORDERS)), ORDERS, strict=True)
    ]
    result = colours(run(images, masks, draws, V1))
    theirs = [
        tensor(jittered(pillow(image), draw, changed))
        for image, draw in zip(images, draws, strict=True)
    ]
    return (result - torch.stack(theirs)).abs()


@pytest.mark.parametrize(
    ("changed", "most", "mean"),
    [
        # Pillow drops what is under a level; its mean and luma are whole numbers too.
        ({"brightness"}, 1.01, 0.6),
        ({"contrast"}, 1.5, 0.6),
        ({"saturation"}, 1.5, 0.6),
        # Three of those in a row, stretched by up to 1.4 each.
        ({"brightness", "contrast", "saturation"}, 4.5, 1.5),
        # Pillow's hue has 255 steps, each up to 6 levels of a full colour; one is lost on the
        # way to HSV, one of the shift, one where the circle closes.
        ({"hue"}, 18.0, 1.5),
        # The same steps, stretched by contrast and saturation.
        ({"brightness", "contrast", "saturation", "hue"}, 18 * 1.4**2, 2.0),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else None,
)
def test_jitter_is_pillows_within_its_rounding(changed, most, mean):
    differences = pillow_differences(changed)
    assert differences.max() < most
    assert differences.mean() < mean


def test_gray_and_paste_are_pillows_within_rounding():
    images, masks = pictures(4)
    draw = dataclasses.replace(PLAIN, paste=on_gray(201), gray=True)
    result = colours(run(images, masks, [draw] * 4, V1))
    for image, mask, ours in zip(images, masks, result, strict=True):
        background = Image.new("RGB", (SIZE, SIZE), (201,) * 3)
        alpha = Image.fromarray(mask[0].numpy())
        pasted = Image.composite(pillow(image), background, alpha)
        # Two roundings of half a level; torchvision's luma has three digits, Pillow's four.
        assert (ours - tensor(pasted.convert("L").convert("RGB"))).abs().max() < 1.3


@pytest.mark.parametrize("views", [V1, V2], ids=["moco_v1", "moco_v2"])
def test_a_sample_depends_on_no_other_sample_of_its_batch(views):
    images, masks = pictures(24)
    draws = drawn(views, 24)
    together = run(images, masks, draws, views)
    alone = [run(images[i : i + 1], masks[i : i + 1], draws[i : i + 1], views) for i in range(24)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)


def test_the_number_of_threads_does_not_matter():
    images, masks = pictures(10)
    draws = drawn(V2, 10)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(run(images, masks, draws, V2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_what_is_compiled_ahead_serves_every_batch():
    compile_loops(lambda line: None)
    before = len(loops._augment.signatures)
    said = []
    compile_loops(said.append)
    images, masks = pictures(4)
    strided = images[:, :, ::2, ::2], masks[:, :, ::2, ::2]
    augment(*strided, stack_params(drawn(V2, 4, probability=1.0)), V2)
    assert len(loops._augment.signatures) == before
    assert said == []


def test_only_views_that_are_pasted_need_a_mask():
    images, masks = pictures(24)
    parameters = stack_params(drawn(V2, 24))
    pasted = masks[parameters.paste]
    assert 0 < len(pasted) < 24
    result = augment(images, pasted, parameters, V2)
    assert torch.equal(result, augment(images, masks, parameters, V2))
    with pytest.raises(ValueError, match=f"of the {len(pasted)} that are pasted, got 0"):
        augment(images, masks[:0], parameters, V2)


@pytest.mark.parametrize("order", [(), *itertools.permutations(("jitter", "gray", "blur"))])
def test_fixed_shapes_give_what_loops_give(order):
    views = dataclasses.replace(V2, order=order, space="unit")
    images, masks = pictures(48)
    parameters = stack_params(drawn(views, 48, probability=0.7))
    table = view_table(parameters, 48, views)
    result = augment_plainly(images, masks, images[:0], table, order)
    expected = augment(images, masks, parameters, views)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_crops_masks_and_parameters_are_not_changed():
    images, masks = pictures(8)
    parameters = stack_params(drawn(V2, 8, probability=1.0))
    before = [x.clone() for x in (images, masks, *parameters)]
    augment(images, masks, parameters, V2)
    assert all(map(torch.equal, before, (images, masks, *parameters)))


def test_masks_count_only_where_a_view_is_pasted():
    images, masks = pictures(8)
    draws = [
        dataclasses.replace(one, paste=None if i % 2 else on_gray(90))
        for i, one in enumerate(drawn(V2, 8))
    ]
    result = run(images, masks, draws, V2)
    other = run(images, 255 - masks, draws, V2)
    assert torch.equal(result[1::2], other[1::2])
    assert not torch.equal(result[::2], other[::2])


def test_autocast_around_it_changes_nothing():
    images, masks = pictures(8)
    draws = drawn(V2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        cast = run(images, masks, draws, V2)
    assert torch.equal(cast, run(images, masks, draws, V2))


def test_too_few_parameters_are_refused():
    images, masks = pictures(3)
    with pytest.raises(ValueError, match="one row for each of 3 images, got 1"):
        augment(images, masks, stack_params([PLAIN]), V2)


def test_denormalise_gives_the_picture_back():
    images, masks = pictures(3)
    result = run(images, masks, [PLAIN] * 3, V1)
    assert torch.equal(denormalise(result), images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "views",
    [V1, V2, dataclasses.replace(V2, order=("gray", "blur", "jitter"))],
    ids=["moco_v1", "moco_v2", "blur not last"],
)
def test_the_gpu_gives_what_the_cpu_gives_and_waits_for_nothing(views, dtype):
    images, masks = pictures(48)
    parameters = stack_params(drawn(views, 48))
    there = images.cuda(), masks.cuda()
    augment(*there, parameters, views, dtype=dtype)  # compiles, and moves the constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augment(*there, parameters, views, dtype=dtype)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    expected = augment(images, masks, parameters, views)
    step = torch.finfo(dtype).eps if dtype != torch.float32 else 0
    torch.testing.assert_close(result.float().cpu(), expected, rtol=step, atol=1e-5 / min(STD))
