"""From images to backgrounds: the right pixels, and a row for every image that gives none."""

import io

import h5py
import numpy as np
import pytest
import simplejpeg
from PIL import Image
from support.backgrounds import built, crops_by, masks_of, planned
from support.photographs import photograph, photograph_folder

from dilo.pipeline.backgrounds.counts import count_backgrounds
from dilo.pipeline.backgrounds.cropping import BackgroundSource, tile
from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.backgrounds.windows import largest_windows
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images import decode
from dilo.pipeline.images.encoding import encode_reduced
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.store.status import status


def counts_of(found):
    return count_backgrounds(found.plan, found.done, found.summaries)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = photograph_folder(tmp_path_factory.mktemp("images"), 9)
    (folder / "class0" / "bad.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def masks(images, tmp_path_factory):
    return masks_of(images, tmp_path_factory.mktemp("masks"))


def column(store, name):
    parts = []
    for path in sorted(store.glob("*.h5")):
        with h5py.File(path) as file:
            parts.append(file[name][:])
    return np.concatenate(parts)


def test_a_crop_is_the_window_that_the_mask_leaves_free(images, masks, tmp_path):
    recipe = crops_by(masks, crops=2, quality=100)
    store = BackgroundStore(built(images, tmp_path / "store", recipe, masks, size=60))
    expected = []
    for name, shape in zip(masks.names, masks.column("shape").tolist(), strict=True):
        if shape[0]:
            found = largest_windows(masks[name], shape, response=40, min_side=8, count=2)
            expected += [(name, box) for box in found]
    assert [(store.source(i), store.box(i)) for i in range(len(store))] == expected
    assert len(expected) > 9
    for crop, (name, (top, left, height, width)) in zip(store, expected, strict=True):
        window = decode(images / name)[top : top + height, left : left + width]
        assert crop.shape == window.shape
        assert np.abs(crop.astype(int) - window).mean() < 4


def test_the_shorter_side_is_reduced_to_the_size_and_never_enlarged():
    for shape, size, expected in (
        ((60, 90), 24, (24, 36)),
        ((90, 61), 24, (35, 24)),
        ((24, 90), 24, (24, 90)),
        ((10, 12), 24, (10, 12)),
    ):
        jpeg = encode_reduced(photograph(0, *shape), size, 90)
        assert simplejpeg.decode_jpeg(jpeg, "RGB").shape == (*expected, 3)
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 60, axis=0)
    small = simplejpeg.decode_jpeg(encode_reduced(np.repeat(ramp, 3, axis=2), 24, 100), "RGB")
    assert np.abs(small[:, 2:-2, 0] - (np.arange(48) * 5 + 1.5)[2:-2]).max() < 4


def test_pixels_finer_than_the_size_are_averaged_away_rather_than_left_out():
    checkers = np.indices((96, 96)).sum(axis=0) % 2 * np.uint8(255)
    small = simplejpeg.decode_jpeg(
        encode_reduced(np.dstack([checkers] * 3).astype(np.uint8), 24, 95)
    )
    assert np.abs(small.astype(int) - 127).max() < 8


@pytest.mark.parametrize(
    "box", [(0, 0, 3, 5), (1, 2, 2, 3), (2, 4, 3, 5), (0, 0, 9, 20), (-1, -7, 4, 4), (7, 11, 1, 1)]
)
def test_a_box_is_cut_out_of_the_repeated_picture(box):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    top, left, height, width = box
    cut = tile(pixels, box)
    assert cut.shape == (height, width, 3)
    assert cut.dtype == np.uint8
    for row, column in np.ndindex(height, width):
        assert (cut[row, column] == pixels[(top + row) % 3, (left + column) % 5]).all()


def test_a_box_within_is_a_copy():
    pixels = np.zeros((4, 4, 3), np.uint8)
    tile(pixels, (0, 0, 4, 4))[:] = 255
    assert not pixels.any()


def test_an_image_whose_mask_failed_fails_and_one_without_a_window_does_not(
    images, masks, tmp_path
):
    recipe = crops_by(masks, min_side=22)
    store = built(images, tmp_path / "store", recipe, masks)
    found = status(store)
    assert found.failed == {"class0/bad.jpg": "its mask failed: not an image"}
    counts = counts_of(found)
    assert counts.from_images + counts.without_window == 9
    assert min(counts.from_images, counts.without_window) > 0
    read = column(store, "bytes")
    assert ((read > 0) == (column(store, "status") == 0)).all()
    assert (read[column(store, "status") != 0] == -1).all()
    assert (column(store, "shape").any(axis=1) == (read > 0)).all()


def test_an_image_that_is_no_longer_the_one_of_its_mask_fails(images, masks, tmp_path):
    other = photograph_folder(tmp_path / "images", 9)
    (other / "class0" / "bad.jpg").touch()
    content = io.BytesIO()
    Image.fromarray(photograph(99, 50, 60)).save(content, format="JPEG")
    (other / "class0" / "000.jpg").write_bytes(content.getvalue())
    store = built(other, tmp_path / "store", crops_by(masks), masks)
    assert status(store).failed == {
        "class0/000.jpg": "it must be the file that its mask was made of, got another one",
        "class0/bad.jpg": "its mask failed: not an image",
    }


def test_images_in_another_order_than_their_masks_get_the_same_crops(images, masks, tmp_path):
    names = [name for name in masks.names if "bad" not in name][::-2]
    (tmp_path / "list").write_text("".join(f"{name}\n" for name in names))
    recipe = crops_by(masks)
    plan = planned(ImageSelection(images, tmp_path / "list"), tmp_path / "store", recipe)
    for shard in range(plan.shards):
        ShardBuilder(
            FolderSource(images), tmp_path / "store", BackgroundSource(masks.folder)
        ).build(shard)
    some = BackgroundStore(tmp_path / "store")
    every = BackgroundStore(built(images, tmp_path / "every", recipe, masks))
    crops = {every.source(i): every[i] for i in range(len(every))}
    assert [some.source(i) for i in range(len(some))] == [name for name in names if name in crops]
    assert all(np.array_equal(some[i], crops[some.source(i)]) for i in range(len(some)))


@pytest.mark.parametrize("count", [1, 5, 9, 13])
def test_a_count_is_drawn_evenly_and_images_that_are_not_needed_are_not_read(
    images, masks, tmp_path, count
):
    recipe = crops_by(masks, crops=2, count=count, seed=1)
    folder = built(images, tmp_path / "store", recipe, masks)
    counts = counts_of(status(folder))
    assert (counts.backgrounds, counts.short) == (count, 0)
    quotas = [count * end // 10 - count * start // 10 for start, end in ((0, 4), (4, 8), (8, 10))]
    for path, quota in zip(sorted(folder.glob("*.h5")), quotas, strict=True):
        with h5py.File(path) as file:
            assert len(file["source"]) == quota
    states, read = column(folder, "status"), column(folder, "bytes")
    assert (read[states == 3] == -1).all()
    if count <= 5:  # no shard runs out of first windows
        assert counts.from_images == count
    every = BackgroundStore(built(images, tmp_path / "every", crops_by(masks, crops=2), masks))
    some = BackgroundStore(folder)
    known = {(every.source(i), every.box(i)) for i in range(len(every))}
    assert {(some.source(i), some.box(i)) for i in range(count)} <= known


def test_too_few_windows_are_reported(images, masks, tmp_path):
    store = built(images, tmp_path / "store", crops_by(masks, min_side=22, count=20), masks)
    counts = counts_of(status(store))
    assert 0 < counts.backgrounds == counts.from_images < 9
    assert counts.short == 20 - counts.backgrounds
    assert counts.not_drawn == 0


def test_another_seed_draws_other_images(images, tmp_path):
    sources = []
    for seed in (0, 1, 2):
        recipe = BackgroundRecipe(kind="images", count=4, seed=seed)
        store = BackgroundStore(built(images, tmp_path / str(seed), recipe))
        sources.append(tuple(store.source(i) for i in range(len(store))))
    assert len(set(sources)) > 1


def test_whole_images_are_backgrounds(images, tmp_path):
    folder = built(images, tmp_path / "store", BackgroundRecipe(kind="images"))
    store = BackgroundStore(folder)
    assert (len(store), store.kind) == (9, "images")
    assert status(folder).failed == {"class0/bad.jpg": "not an image"}
    for i in range(9):
        height, width = decode(images / store.source(i)).shape[:2]
        assert store.box(i) == (0, 0, height, width)
        assert min(store[i].shape[:2]) == 24


def test_windows_of_a_texture_have_the_size_though_the_texture_is_smaller(images, tmp_path):
    recipe = BackgroundRecipe(kind="textures", crops=3, seed=5)
    store = BackgroundStore(built(images, tmp_path / "store", recipe, size=64))
    assert len(store) == 27
    assert {picture.shape for picture in store.batch(range(27))} == {(64, 64, 3)}
    boxes = [store.box(i) for i in range(27)]
    assert len({box[:2] for box in boxes}) > 20
    top, left, *_ = boxes[4]
    texture = decode(images / store.source(4))
    turned = np.tile(np.roll(texture, (-top, -left), (0, 1)), (2, 2, 1))[:64, :64]
    assert np.abs(store[4].astype(int) - turned).mean() < 8
    fewer = BackgroundRecipe(kind="textures", crops=3, seed=5, count=9)
    few = BackgroundStore(built(images, tmp_path / "few", fewer, size=64))
    known = {(store.source(i), store.box(i)) for i in range(27)}
    assert {(few.source(i), few.box(i)) for i in range(len(few))} <= known


def test_other_masks_than_those_of_the_plan_are_refused(images, masks, tmp_path):
    planned(ImageSelection(images), tmp_path / "store", crops_by(masks))
    with pytest.raises(DiloError, match="holds crops: dilo-prep backgrounds --masks STORE resumes"):
        ShardBuilder(FolderSource(images), tmp_path / "store", BackgroundSource()).build(0)
    other = masks_of(images / "class0", tmp_path / "other")
    with pytest.raises(StoreError, match=r"must be the masks that .* was planned with, of finger"):
        ShardBuilder(
            FolderSource(images), tmp_path / "store", BackgroundSource(other.folder)
        ).build(0)


def test_an_image_that_kills_costs_its_own_backgrounds_and_no_others(images, masks, tmp_path):
    recipe = crops_by(masks, count=10)
    every = BackgroundStore(built(images, tmp_path / "every", recipe, masks))
    planned(masks_selection(images, masks), tmp_path / "store", recipe)
    builder, begun = (
        ShardBuilder(FolderSource(images), tmp_path / "store", BackgroundSource(masks.folder)),
        [],
    )
    builder.build(0, on_row=begun.append)
    (tmp_path / "store" / "shard-00000.h5").unlink()
    builder.try_row(0, begun[1])
    outcome = builder.build(0, skip={begun[1]: "it kills"})
    killer = masks.names[begun[1]]
    assert outcome.failed[killer] == "it kills"
    builder.build(1)
    builder.build(2)
    store = BackgroundStore(tmp_path / "store")
    crops = {every.source(i): every[i] for i in range(len(every))}
    del crops[killer]
    assert [store.source(i) for i in range(len(store))] == list(crops)
    assert all(map(np.array_equal, store, crops.values()))


def masks_selection(images, masks):
    return ImageSelection(images, masks.folder / "images.txt")
