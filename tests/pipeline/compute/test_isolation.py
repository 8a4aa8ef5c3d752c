"""Building apart: the same shard, and words where even that is of no use."""

import pytest
from support.photographs import photograph_folder
from support.plugins import install, mark
from support.stores import create_mask_store

from dilo.pipeline.compute import isolation
from dilo.pipeline.compute.isolation import IsolatedBuilder
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe


def planned(root):
    images = photograph_folder(root / "images", 3)
    create_mask_store(
        images, root / "store", recipe=MaskRecipe.create("rbd"), size=16, shard_size=4
    )
    return ShardBuilder(FolderSource(images), root / "store", MethodSource())


def test_a_shard_built_apart_is_the_shard_built_at_home(tmp_path):
    builder = planned(tmp_path)
    outcome = IsolatedBuilder(builder).build(0)
    shard = builder.store / "shard-00000.h5"
    apart = shard.read_bytes()
    shard.unlink()
    assert builder.build(0) == outcome
    assert shard.read_bytes() == apart


def test_what_the_process_refuses_is_said_in_its_words(tmp_path):
    builder = planned(tmp_path)
    builder.images.path.rename(tmp_path / "elsewhere")
    with pytest.raises(DiloError, match="is the disk mounted"):
        IsolatedBuilder(builder).build(0)


def test_deaths_of_no_image_in_particular_end_in_words(tmp_path, monkeypatch):
    builder = planned(tmp_path)
    # It dies of the second row whenever it comes to it, but never when that row is alone.
    monkeypatch.setattr(
        IsolatedBuilder,
        "_run_child",
        lambda self, **asked: (None, "") if "row" in asked else (1, "SIGKILL"),
    )
    with pytest.raises(DiloError, match=r"died 3 times \(SIGKILL\), but not because of one image"):
        IsolatedBuilder(builder).build(0)


def test_a_process_that_does_not_even_begin_ends_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation.sys, "executable", "/bin/false")
    with pytest.raises(DiloError, match=r"died 3 times \(exit status 1\)"):
        IsolatedBuilder(planned(tmp_path)).build(0)


def test_only_what_kills_is_recorded(tmp_path, monkeypatch):
    environment = install(tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    images = photograph_folder(tmp_path / "images", 3)
    mark(images / "class1" / "red.png")
    recipe = MaskRecipe.create("crashing")
    create_mask_store(images, tmp_path / "store", recipe=recipe, size=16, shard_size=4)
    outcome = IsolatedBuilder(
        ShardBuilder(FolderSource(images), tmp_path / "store", MethodSource())
    ).build(0)
    assert outcome.failed == {
        "class1/red.png": "killed the process that computed it, twice: SIGSEGV"
    }
    assert outcome.images == 4
