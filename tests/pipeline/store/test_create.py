"""Planning: which images, which plan, and one winner of those who begin at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.photographs import photograph_folder

from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.computed import mask_spec
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store.create import create_store, plan_store
from dilo.pipeline.store.plan import Plan, load_names

RBD = mask_spec(MaskRecipe.create("rbd"), 16)


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 8)


def test_a_selection_takes_a_list_then_globs_then_the_first_of_them(images, tmp_path):
    (tmp_path / "list").write_text("class1/005.jpg\nclass0/000.jpg\nclass1/001.jpg\n")
    assert list(ImageSelection(images, tmp_path / "list").names()) == [
        "class1/005.jpg",
        "class0/000.jpg",
        "class1/001.jpg",
    ]
    some = ImageSelection(images, tmp_path / "list", ("class1/*",), 1)
    assert list(some.names()) == ["class1/005.jpg"]
    assert list(ImageSelection(images, include=("class1/*",), limit=2).names()) == [
        "class1/001.jpg",
        "class1/003.jpg",
    ]


def test_planning_writes_nothing_and_starting_writes_plan_and_list(images, tmp_path):
    store = tmp_path / "store"
    plan, names = plan_store(images, store, RBD)
    assert not store.exists()
    create_store(store, plan, names)
    assert Plan.load(store) == plan
    assert load_names(store, plan) == names
    assert sorted(path.name for path in store.iterdir()) == ["images.txt", "plan.json"]


def test_of_many_who_begin_at_once_one_wins_and_the_others_are_refused(images, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    asked = [
        plan_store(ImageSelection(images, limit=count), tmp_path / "other", RBD)
        for count in range(1, 9)
    ]

    def begin(planned):
        try:
            create_store(store, *planned)
        except StoreError:
            return None
        return planned[0]

    with ThreadPoolExecutor(8) as pool:
        won = [plan for plan in pool.map(begin, asked) if plan]
    assert len(won) == 1
    assert Plan.load(store) == won[0]
    assert len(load_names(store, won[0])) == won[0].images


def test_a_task_that_comes_while_the_list_is_being_written_lists_the_folder_itself(
    images, tmp_path
):
    store = tmp_path / "store"
    plan, names = plan_store(images, store, RBD)
    create_store(store, plan, names)
    (store / "images.txt").unlink()
    again = plan_store(images, store, RBD, reuse_list=True)
    assert again == (plan, names)
    create_store(store, *again)
    assert load_names(store, plan) == names


def test_a_shard_that_no_worker_could_hold_is_refused(images, tmp_path):
    large = mask_spec(MaskRecipe.create("rbd"), 20_000)
    with pytest.raises(DiloError, match="--shard-size must be at most 5 at --size 20000, for a "):
        plan_store(images, tmp_path / "store", large, shard_size=6)
    plan_store(images, tmp_path / "store", large, shard_size=5)
