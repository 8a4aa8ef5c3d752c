"""Stores of a network's masks: the rows, their bytes, and what ends a run."""

import dataclasses
import shutil

import numpy as np
import pytest
from support.networks import gain
from support.photographs import photograph_folder
from support.plugins import mark
from support.stores import create_mask_store

from dilo.pipeline.compute.isolation import IsolatedBuilder
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images import decode
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks import network
from dilo.pipeline.masks.computed import MethodSource, make_masks
from dilo.pipeline.masks.network import InferenceSettings
from dilo.pipeline.saliency import MaskRecipe, saliency
from dilo.pipeline.saliency.weights import weights_digest
from dilo.pipeline.store import MaskStore


@pytest.fixture
def images(networks, tmp_path):
    """Photographs, of which one is red."""
    folder = photograph_folder(tmp_path / "images", 8)
    mark(folder / "class0" / "red.png")
    return folder


def planned(images, store, method, *, refine=None, shard_size=9, **run):
    weights = gain(images.parent / "weights.pt")
    recipe = MaskRecipe.create(method, refine, weights=weights_digest(weights))
    create_mask_store(images, store, recipe=recipe, shard_size=shard_size)
    return ShardBuilder(
        FolderSource(images), store, MethodSource(InferenceSettings(weights, **run))
    )


def shard(store, number=0):
    return (store / f"shard-{number:05d}.h5").read_bytes()


def test_a_row_is_the_saliency_of_its_image_at_the_network_s_own_size(images, tmp_path):
    builder = planned(images, tmp_path / "store", "net", batch=4)
    outcome = builder.build(0)
    assert (outcome.images, outcome.failed, outcome.pace.images) == (9, {}, 9)
    store = MaskStore(tmp_path / "store")
    for name in store.names:
        image = decode(images / name)
        expected = saliency(image, "net", weights=builder.source.network.weights)
        assert expected.shape == (32, 32)
        assert np.array_equal(store[name], expected)
        assert store.column("shape")[store.position(name)].tolist() == list(image.shape[:2])


@pytest.mark.parametrize("refine", [None, "grabcut"])
def test_bytes_hang_on_the_plan_alone(images, tmp_path, refine):
    first = planned(images, tmp_path / "a", "sick", refine=refine, batch=4, workers=3)
    first.build(0)
    for number, run in enumerate(({"batch": 1}, {"batch": 2, "workers": 5}, {})):
        store = tmp_path / str(number)
        planned(images, store, "sick", refine=refine, **run).build(0)
        assert shard(store) == shard(tmp_path / "a")
    apart = planned(images, tmp_path / "apart", "sick", refine=refine, batch=4)
    IsolatedBuilder(apart).build(0)
    assert shard(tmp_path / "apart") == shard(tmp_path / "a")


RED = "class0/red.png"


@pytest.mark.parametrize(
    ("method", "failed"),
    [
        ("full", {}),
        ("picky", {RED: "picky failed: ArithmeticError: red"}),
        ("choking", {RED: "choking failed: FloatingPointError: red"}),
        (
            "sick",
            {RED: "sick failed: ValueError: a map must be finite, got NaN or infinity from the"},
        ),
    ],
)
def test_what_fails_with_one_image_is_its_row_s_error_and_nothing_else(
    images, tmp_path, method, failed
):
    (images / "class1" / "bad.jpg").write_bytes(b"no image")
    found = planned(images, tmp_path / "store", method, batch=4, shard_size=10).build(0).failed
    assert found.pop("class1/bad.jpg") == "not an image"
    assert found.keys() == failed.keys()
    assert all(found[path].startswith(why) for path, why in failed.items())
    store = MaskStore(tmp_path / "store")
    for name in store.names:
        fails = name in failed or name == "class1/bad.jpg"
        assert (store[name].max() == 0) == (fails or name == RED)  # of one colour, too
        assert (store.column("shape")[store.position(name)].max() == 0) == fails


def test_a_network_that_takes_no_image_ends_the_run_and_leaves_no_shard(images, tmp_path):
    with pytest.raises(
        DiloError, match="blank one: RuntimeError: device lost: give fewer --workers if"
    ):
        planned(images, tmp_path / "store", "dead").build(0)
    assert not list((tmp_path / "store").glob("shard-*"))


def test_an_image_that_kills_is_found_and_the_rest_has_the_bytes_that_it_has_without_it(
    images, tmp_path
):
    outcome = IsolatedBuilder(planned(images, tmp_path / "store", "killer", batch=4)).build(0)
    assert outcome.failed == {
        RED: "killed the process that computed it, twice: SIGKILL, as when memory runs out"
    }
    other = planned(images, tmp_path / "other", "net")
    other.build(0)
    masks, expected = MaskStore(tmp_path / "store"), MaskStore(tmp_path / "other")
    for name in set(masks.names) - {RED}:
        assert np.array_equal(masks[name], expected[name])


def test_weights_are_needed_and_must_be_those_of_the_plan(images, tmp_path):
    builder = planned(images, tmp_path / "store", "net")
    with pytest.raises(
        DiloError, match=r"the masks of net come from a network: give its --weights"
    ):
        dataclasses.replace(builder, source=MethodSource()).build(0)
    gain(builder.source.network.weights, 2)
    with pytest.raises(DiloError, match="must be the file that the masks are planned with"):
        builder.build(0)
    other = MaskRecipe.create("net", weights=weights_digest(builder.source.network.weights))
    with pytest.raises(StoreError, match=r"plan\.json says weights '.*'; asked for weights '"):
        create_mask_store(images, tmp_path / "store", recipe=other)
    with pytest.raises(DiloError, match="--method net is a network: give its --weights FILE"):
        create_mask_store(images, tmp_path / "fresh", recipe=MaskRecipe.create("net"))


def test_neither_the_weights_place_nor_the_device_is_in_the_store(images, tmp_path):
    builder = planned(images, tmp_path / "a", "net")
    builder.build(0)
    moved = shutil.copy(builder.source.network.weights, tmp_path / "elsewhere.pt")
    planned(images, tmp_path / "b", "net")
    source = MethodSource(InferenceSettings(moved))
    dataclasses.replace(builder, store=tmp_path / "b", source=source).build(0)
    for name in ("plan.json", "shard-00000.h5"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert b"cpu" not in (tmp_path / "a" / "plan.json").read_bytes()


def test_a_process_opens_its_network_on_its_own_gpu_and_every_batch_has_one_shape(
    images, tmp_path, monkeypatch
):
    opened, lengths = [], []
    open_masks = network.open_masks

    def opening(recipe, weights, device, names):
        opened.append((device, list(names)))
        masks = open_masks(recipe, weights, device, names)
        maps = masks.network.maps
        masks.network.maps = lambda seen, paths: lengths.append(len(seen)) or maps(seen, paths)
        return masks

    monkeypatch.setattr(network, "open_masks", opening)
    monkeypatch.setattr(network, "own_device", lambda device: f"{device}:5")
    planned(images, tmp_path / "gpu", "net", device="cuda", batch=4).build(0)
    assert opened == [("cuda:5", list(MaskStore(tmp_path / "gpu").names))]
    assert lengths == [4, 4, 4]
    planned(images, tmp_path / "cpu", "net").build(0)
    assert shard(tmp_path / "gpu") == shard(tmp_path / "cpu")


def test_a_network_s_store_is_made_by_one_call(images, tmp_path):
    builder = planned(images, tmp_path / "a", "net")
    builder.build(0)
    weights = builder.source.network.weights
    store = make_masks(images, tmp_path / "b", "net", weights=weights, shard_size=9, workers=1)
    assert shard(store.folder) == shard(tmp_path / "a")
    assert (store.folder / "plan.json").read_bytes() == (tmp_path / "a/plan.json").read_bytes()
