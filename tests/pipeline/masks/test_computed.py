"""Making a store: rows for good and bad images, bytes that depend on the plan alone."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import data
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images import decode
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.computed import (
    MethodSource,
    make_masks,
    mask_spec,
    planned_recipe,
)
from dilo.pipeline.saliency import MaskRecipe, saliency
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.status import status

RBD = MaskRecipe.create("rbd")


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 5)


def build_all(images, store, **options):
    plan = create_mask_store(
        images, store, **({"recipe": RBD, "size": 32, "shard_size": 2} | options)
    )
    return plan, [
        ShardBuilder(FolderSource(images), store, MethodSource()).build(shard)
        for shard in range(plan.shards)
    ]


def test_a_row_is_the_saliency_of_its_image(images, tmp_path):
    build_all(images, tmp_path / "store")
    store = MaskStore(tmp_path / "store")
    for name in store.names:
        image = decode(images / name)
        assert np.array_equal(store[name], saliency(image, "rbd", size=32))
        assert store.column("shape")[store.position(name)].tolist() == list(image.shape[:2])


def test_a_bad_image_is_a_row_with_a_reason(images, tmp_path):
    (images / "class0" / "bad.jpg").write_bytes(b"\xff\xd8 nothing")
    _, outcomes = build_all(images, tmp_path / "store")
    assert [path for outcome in outcomes for path in outcome.failed] == ["class0/bad.jpg"]
    found = status(tmp_path / "store")
    assert found.done_images == 6
    assert list(found.failed) == ["class0/bad.jpg"]
    assert found.failed["class0/bad.jpg"]
    assert not MaskStore(tmp_path / "store")["class0/bad.jpg"].any()


def test_a_method_that_stumbles_costs_one_row(images, tmp_path, monkeypatch):
    make = MaskRecipe.__call__

    def stumbling(recipe, image, size):
        if image.shape[0] == 52:
            raise ZeroDivisionError("by nothing")
        return make(recipe, image, size)

    monkeypatch.setattr(MaskRecipe, "__call__", stumbling)
    _, outcomes = build_all(images, tmp_path / "store")
    failed = {path: why for outcome in outcomes for path, why in outcome.failed.items()}
    assert failed == {"class0/002.jpg": "rbd failed: ZeroDivisionError: by nothing"}


def test_a_large_jpeg_is_decoded_small_but_counts_as_large(tmp_path):
    photo = data.chelsea()
    (tmp_path / "images").mkdir()
    Image.fromarray(photo).resize((900, 600)).save(tmp_path / "images/cat.jpg", quality=95)
    _, outcomes = build_all(tmp_path / "images", tmp_path / "store", size=64)
    assert not outcomes[0].failed
    store = MaskStore(tmp_path / "store")
    assert store.column("shape").tolist() == [[600, 900]]
    whole = saliency(decode(tmp_path / "images/cat.jpg"), size=64)
    assert np.corrcoef(store[0].ravel(), whole.ravel())[0, 1] > 0.9


def test_bytes_depend_on_the_plan_alone(images, tmp_path):
    build_all(images, tmp_path / "a")
    moved = shutil.copytree(images, tmp_path / "elsewhere")
    plan = create_mask_store(moved, tmp_path / "b", recipe=RBD, size=32, shard_size=2)
    for shard in reversed(range(plan.shards)):
        ShardBuilder(FolderSource(moved), tmp_path / "b", MethodSource()).build(shard)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_the_plan_records_every_constant_of_the_method():
    parameters = mask_spec(RBD, 32).plan(Names(["a"]), 1).parameters
    assert parameters["background_factor"] == 5.0
    assert len(parameters) > 10


def test_a_second_call_takes_the_shard_size_of_the_first(images, tmp_path):
    first = create_mask_store(images, tmp_path / "s", recipe=RBD, size=32, shard_size=2)
    assert create_mask_store(images, tmp_path / "s", recipe=RBD, size=32) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 64}, "plan.json says size 32; asked for size 64"),
        ({"shard_size": 3}, "shard_size 2; asked for shard_size 3"),
        ({"images": 3}, "images 5; asked for images 3"),
    ],
)
def test_another_store_in_its_place_is_refused(images, tmp_path, options, message):
    build_all(images, tmp_path / "store")
    asked = ImageSelection(images, limit=options.pop("images", None))
    with pytest.raises(StoreError, match=message):
        create_mask_store(asked, tmp_path / "store", recipe=RBD, **({"size": 32} | options))


def test_an_image_added_since_is_noticed_but_not_by_the_tasks_of_an_array(images, tmp_path):
    plan, _ = build_all(images, tmp_path / "store")
    shutil.copy(images / "class0" / "000.jpg", images / "class0" / "new.jpg")
    with pytest.raises(StoreError, match="images 5; asked for images 6"):
        create_mask_store(images, tmp_path / "store", recipe=RBD, size=32)
    assert (
        create_mask_store(images, tmp_path / "store", recipe=RBD, size=32, reuse_list=True) == plan
    )


def test_a_store_made_anew_in_one_process_follows_its_new_plan(images, tmp_path):
    build_all(images, tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    (images / "class0" / "000.jpg").unlink()
    build_all(images, tmp_path / "store", size=16)
    store = MaskStore(tmp_path / "store")
    assert (len(store), store[0].shape) == (4, (16, 16))


def test_other_parameters_in_its_place_are_refused_by_name(images, tmp_path):
    build_all(images, tmp_path / "store")
    finer = MaskRecipe.create("rbd", None, {"superpixels": 300})
    with pytest.raises(
        StoreError, match="says superpixels 250; asked for superpixels 300: a store"
    ):
        create_mask_store(images, tmp_path / "store", recipe=finer, size=32)
    refined = MaskRecipe.create("rbd", "grabcut")
    with pytest.raises(
        StoreError, match=r"says refine.method None, .*; asked for refine.method 'gra"
    ):
        create_mask_store(images, tmp_path / "store", recipe=refined, size=32)
    with pytest.raises(StoreError, match="says method 'rbd'; asked for method 'gs': a store"):
        create_mask_store(images, tmp_path / "store", recipe=MaskRecipe.create("gs"), size=32)


@pytest.mark.parametrize("method", ["rbd", "gs"])
@pytest.mark.parametrize("refine", [None, "grabcut"])
def test_a_shard_is_computed_with_the_parameters_that_its_plan_says(
    images, tmp_path, method, refine
):
    settings = {"superpixels": 60, "side": 48}
    recipe = MaskRecipe.create(method, refine, settings)
    build_all(images, tmp_path / "store", recipe=recipe)
    store = MaskStore(tmp_path / "store")
    assert planned_recipe(tmp_path / "store", store.plan) == recipe
    for name in store.names:
        image = decode(images / name)
        expected = saliency(image, method, size=32, refine=refine, settings=settings)
        assert np.array_equal(store[name], expected)


def test_a_plan_of_another_version_is_refused_in_a_sentence(images, tmp_path):
    create_mask_store(images, tmp_path / "store", recipe=RBD, size=32)
    path = tmp_path / "store" / "plan.json"
    plan = Plan.load(path.parent)
    numbers = dict(plan.parameters)
    numbers["patches"] = numbers.pop("superpixels")
    path.write_text(dataclasses.replace(plan, parameters=numbers).text())
    with pytest.raises(StoreError, match=r"does not make: patches must be one of .*: use the ver"):
        ShardBuilder(FolderSource(images), tmp_path / "store", MethodSource()).build(0)


def test_a_store_is_made_and_continued_by_one_call(images, tmp_path):
    for shard in range(
        create_mask_store(images, tmp_path / "a", recipe=RBD, size=32, shard_size=3).shards
    ):
        ShardBuilder(FolderSource(images), tmp_path / "a", MethodSource()).build(shard)
    lines = []
    store = make_masks(
        str(images), tmp_path / "b", size=32, shard_size=3, workers=2, say=lines.append
    )
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert sorted(path.name for path in store.folder.iterdir()) == names
    for name in names:
        assert (store.folder / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    count = f"{len(store)} images"
    assert lines[0].startswith(f"{count} in {store.plan.shards} shards; to do: {count} in ")
    (store.folder / "shard-00001.h5").unlink()
    again = make_masks(images, tmp_path / "b", size=32, workers=1)
    assert np.array_equal(again[3], store[3])
    with pytest.raises(StoreError, match=r"says method 'rbd'.* asked for method 'gs'"):
        make_masks(images, tmp_path / "b", "gs", size=32)
    with pytest.raises(ValueError, match="method must be one of"):
        make_masks(images, tmp_path / "c", "nothing")
    with pytest.raises(DiloError, match="--method basnet is a network: give its --weights FILE"):
        make_masks(images, tmp_path / "c", "basnet")
    assert not (tmp_path / "c").exists()
