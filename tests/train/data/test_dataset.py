"""Training data: the same batches whoever reads them, and bad images left out."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from support.runs import photographs_and_masks, small_recipe
from torch.utils._pytree import tree_leaves
from torch.utils.data._utils.pin_memory import pin_memory

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.train.data.crop import crop, object_share
from dilo.train.data.dataset import (
    CropBatch,
    SampleSpec,
    ViewDataset,
    ViewParams,
    collate,
)
from dilo.train.data.draws import view_draw
from dilo.train.data.images import find_image_set

RECIPE = small_recipe("paste.probability=0.7")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


def test_a_sample_is_the_crop_that_its_draw_says(made):
    source = find_image_set(*made)
    views = pickle.loads(pickle.dumps(ViewDataset(source, RECIPE)))
    for index in range(4):
        sample = views[(5, index)]
        image = decode(source.folder / source.names[index])
        for view in (0, 1):
            draw = view_draw(
                RECIPE.views,
                RECIPE.paste,
                seed=RECIPE.seed,
                epoch=5,
                sample=index,
                view=view,
                height=image.shape[0],
                width=image.shape[1],
            )
            assert sample.draws[view] == draw
            expected = crop(image, source.store[index] if draw.paste else None, draw, 16)
            assert np.array_equal(sample.images[view], expected[0])
            assert (sample.masks[view] is None) == (draw.paste is None)
            assert draw.paste is None or np.array_equal(sample.masks[view], expected[1])


def test_views_must_show_the_object_of_images_that_have_a_mask(made):
    source = find_image_set(*made)
    plain = ViewDataset(source, RECIPE)
    constrained = ViewDataset(source, small_recipe("paste.probability=0.7", "views.min_object=0.9"))
    redrawn = 0
    for index in range(6):
        image = decode(source.folder / source.names[index])
        for view in (0, 1):
            boxes = [views[(0, index)].draws[view].box for views in (plain, constrained)]
            shares = [object_share(source.store[index], image.shape[:2], box) for box in boxes]
            assert shares[1] >= min(shares[0], 0.9)
            redrawn += boxes[0] != boxes[1]
    assert redrawn
    without = dataclasses.replace(source, has_mask=np.zeros_like(source.has_mask))
    views = [ViewDataset(without, data.recipe)[(0, 1)] for data in (plain, constrained)]
    assert views[0].draws == views[1].draws


def test_a_method_that_pools_by_masks_sees_those_of_views_that_are_not_pasted(made):
    recipe, source = small_recipe("paste.probability=0"), find_image_set(*made)
    plain = ViewDataset(source, recipe)[(0, 1)]
    assert plain.masks == [None, None]
    wanting = ViewDataset(source, recipe, SampleSpec(masks=True))[(0, 1)]
    for view in (0, 1):
        assert np.array_equal(wanting.images[view], plain.images[view])
        image = decode(source.folder / source.names[1])
        expected = crop(image, source.store[1], wanting.draws[view], 16)[1]
        assert np.array_equal(wanting.masks[view], expected)
    assert any(mask.any() for mask in wanting.masks)


def test_a_batch_is_view_by_view(made):
    views = ViewDataset(find_image_set(*made), RECIPE)
    samples = [views[(0, i)] for i in range(3)]
    batch = collate(samples)
    assert batch.images.shape == (6, 3, 16, 16)
    masks = [s.masks[v] for v in (0, 1) for s in samples if s.draws[v].paste]
    assert 0 < len(masks) < 6
    assert np.array_equal(batch.masks[:, 0].numpy(), masks)
    assert batch.images.dtype == batch.masks.dtype == torch.uint8
    assert np.array_equal(batch.images[4].permute(1, 2, 0).numpy(), samples[1].images[1])
    assert batch.parameters.paste.tolist() == [
        bool(s.draws[v].paste) for v in (0, 1) for s in samples
    ]


def test_a_batch_without_pastes_has_no_masks_and_one_for_a_method_that_pools_has_all(made):
    recipe, source = small_recipe("paste.probability=0"), find_image_set(*made)
    for spec, count in ((SampleSpec(), 0), (SampleSpec(masks=True), 4)):
        views = ViewDataset(source, recipe, spec)
        assert collate([views[(0, i)] for i in range(2)]).masks.shape == (count, 1, 16, 16)


def test_pinning_reaches_every_tensor_of_a_batch_and_keeps_its_type(made, monkeypatch):
    views = ViewDataset(find_image_set(*made), RECIPE)
    batch = collate([views[(0, i)] for i in range(3)])
    pinned = []
    monkeypatch.setattr(
        torch.Tensor, "pin_memory", lambda tensor, *_: pinned.append(id(tensor)) or tensor
    )
    result = pin_memory(batch)
    assert (type(result), type(result.parameters)) == (CropBatch, ViewParams)
    assert set(pinned) == {id(tensor) for tensor in tree_leaves(batch)}
    assert len(pinned) == len(CropBatch._fields) - 1 + len(ViewParams._fields)


def test_failed_images_are_left_out_and_empty_masks_never_pasted(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "bad.jpg").write_bytes(b"no")
    from PIL import Image

    Image.new("RGB", (40, 30), (90, 90, 90)).save(images / "flat.png")
    photographs, masks = photographs_and_masks(tmp_path, 4)
    source = find_image_set(photographs, masks)
    assert list(source.names).index("bad.jpg") not in source.indices
    assert len(source.indices) == 5
    always = dataclasses.replace(RECIPE, paste=dataclasses.replace(RECIPE.paste, probability=1.0))
    views = ViewDataset(source, always)
    for index in source.indices:
        pasted = [draw.paste is not None for draw in views[(0, int(index))].draws]
        assert pasted == [source.names[index] != "flat.png"] * 2


def test_without_masks_the_folder_is_the_list_and_nothing_is_pasted(made):
    source = find_image_set(made[0], None)
    assert source.names == find_image_set(*made).names
    assert not any(
        draw.paste for i in range(5) for draw in ViewDataset(source, RECIPE)[(0, i)].draws
    )


def test_an_image_that_broke_since_is_replaced_by_the_next(tmp_path):
    images, masks = photographs_and_masks(tmp_path, 5)
    source = find_image_set(images, masks)
    (images / source.names[2]).unlink()
    views = ViewDataset(source, RECIPE)
    sample = views[(0, 2)]
    assert sample.unreadable == 1
    assert views.read(2)[1] == 3
    assert collate([sample, views[(0, 1)]]).unreadable == 1
    for name in source.names:
        (images / name).unlink(missing_ok=True)
    with pytest.raises(DiloError, match=r"16 images from .* on cannot be read"):
        views[(0, 0)]


def test_a_part_of_a_folder_is_said_to_be_one(tmp_path):
    images, masks = photographs_and_masks(tmp_path, 3)
    assert find_image_set(images, masks).share() == "3 images"
    first, *_, last = find_image_set(images, masks).names
    for number in range(4):
        (images / f"more-{number}.jpg").write_bytes((images / first).read_bytes())
    source = find_image_set(images, masks)
    assert (source.share(), source.in_folder) == ("3 of 7 images: those with masks", 7)
    for path in (*images.glob("more-*"), images / last):
        path.unlink()
    assert find_image_set(images, masks).share().endswith("holds only 2 of 3 listed")


def test_a_folder_that_lacks_most_of_the_images_is_not_trained_on(tmp_path):
    images, masks = photographs_and_masks(tmp_path, 5)
    for name in list(find_image_set(images, masks).names)[1:4]:
        (images / name).unlink()
    with pytest.raises(DiloError, match=r"must hold the images of the store, but .* 2 more of 5"):
        find_image_set(images, masks)


def test_a_folder_that_takes_long_to_count_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("dilo.train.data.images.COUNTING", -1.0)
    source = find_image_set(*photographs_and_masks(tmp_path, 3))
    assert (source.share(), source.in_folder) == ("3 images", None)


def test_masks_of_another_folder_are_refused(made, tmp_path):
    with pytest.raises(DiloError, match=r"--masks .* must be of the images of --images"):
        find_image_set(tmp_path, made[1])
