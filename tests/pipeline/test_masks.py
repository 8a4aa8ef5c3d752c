"""Making a store: rows for good and bad images, bytes that depend on the plan alone."""

import shutil

import numpy as np
import pytest
from support.photographs import photograph_folder

from dilo.pipeline import masks
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images import Names, decode
from dilo.pipeline.masks import build_shard, mask_plan, prepare, status
from dilo.pipeline.saliency import saliency
from dilo.pipeline.store import MaskStore


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 5)


def build_all(images, store, **options):
    plan = prepare(images, store, method="rbd", **({"size": 32, "shard_size": 2} | options))
    return plan, [build_shard(images, store, shard) for shard in range(plan.shards)]


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
    def stumbling(image, method, size):
        if image.shape[0] == 52:
            raise ZeroDivisionError("by nothing")
        return saliency(image, method, size=size)

    monkeypatch.setattr(masks, "saliency", stumbling)
    _, outcomes = build_all(images, tmp_path / "store")
    failed = {path: why for outcome in outcomes for path, why in outcome.failed.items()}
    assert failed == {"class0/002.jpg": "rbd failed: ZeroDivisionError: by nothing"}


def test_bytes_depend_on_the_plan_alone(images, tmp_path):
    build_all(images, tmp_path / "a")
    moved = shutil.copytree(images, tmp_path / "elsewhere")
    plan = prepare(moved, tmp_path / "b", method="rbd", size=32, shard_size=2)
    for shard in reversed(range(plan.shards)):
        build_shard(moved, tmp_path / "b", shard)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_the_plan_records_every_constant_of_the_method():
    parameters = mask_plan(Names(["a"]), method="rbd", size=32).parameters
    assert parameters["background_factor"] == 5.0
    assert len(parameters) > 10


def test_a_second_call_takes_the_shard_size_of_the_first(images, tmp_path):
    first = prepare(images, tmp_path / "s", method="rbd", size=32, shard_size=2)
    assert prepare(images, tmp_path / "s", method="rbd", size=32) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 64}, "plan.json says size 32; asked for size 64"),
        ({"shard_size": 3}, "shard_size 2; asked for shard_size 3"),
        ({"limit": 3}, "images 5; asked for images 3"),
    ],
)
def test_another_store_in_its_place_is_refused(images, tmp_path, options, message):
    build_all(images, tmp_path / "store")
    with pytest.raises(StoreError, match=message):
        prepare(images, tmp_path / "store", method="rbd", **({"size": 32} | options))


def test_an_image_added_since_is_noticed_but_not_by_the_tasks_of_an_array(images, tmp_path):
    plan, _ = build_all(images, tmp_path / "store")
    shutil.copy(images / "class0" / "000.jpg", images / "class0" / "new.jpg")
    with pytest.raises(StoreError, match="images 5; asked for images 6"):
        prepare(images, tmp_path / "store", method="rbd", size=32)
    assert prepare(images, tmp_path / "store", method="rbd", size=32, trust_plan=True) == plan


def test_a_store_made_anew_in_one_process_follows_its_new_plan(images, tmp_path):
    build_all(images, tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    (images / "class0" / "000.jpg").unlink()
    build_all(images, tmp_path / "store", size=16)
    store = MaskStore(tmp_path / "store")
    assert (len(store), store[0].shape) == (4, (16, 16))


def test_an_unknown_method_is_refused(images, tmp_path):
    with pytest.raises(DiloError, match=r"--method must be one of .*rbd.*, got 'rdb'"):
        prepare(images, tmp_path / "store", method="rdb", size=32)
