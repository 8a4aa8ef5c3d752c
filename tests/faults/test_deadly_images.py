"""An image that kills whatever computes it: found, tried alone, recorded; the run ends."""

import json

import pytest
from support.cli import invoke
from support.photographs import photograph_folder
from support.plugins import mark
from support.programs import run, start

from dilo.pipeline.cli import main
from dilo.pipeline.store import MaskStore


@pytest.fixture
def photographs(tmp_path):
    return photograph_folder(tmp_path / "images", 20)


def arguments(images, store, method, jobs=2):
    words = ("masks", "--images", images, "--out", store, "--method", method, "--json")
    return (*words, "--size", 16, "--shard-size", 4, "--workers", jobs)


@pytest.fixture(scope="module")
def without(tmp_path_factory, installed):
    """Make the masks of the images that kill nobody; all these methods make the same."""
    folder = tmp_path_factory.mktemp("without")
    images = photograph_folder(folder / "images", 20)
    run(*arguments(images, folder / "store", "light"), environment=installed)
    return MaskStore(folder / "store")


@pytest.mark.parametrize(
    ("method", "reason", "jobs"),
    [
        ("crashing", "SIGSEGV", 1),
        ("greedy", "SIGKILL, as when memory runs out", 2),
    ],
)
def test_it_fails_alone_and_every_other_image_has_its_mask(
    photographs, without, tmp_path, method, reason, jobs
):
    mark(photographs / "class0" / "red.png")
    mark(photographs / "class1" / "007b.png")
    store = tmp_path / "store"
    process = start(*arguments(photographs, store, method, jobs))
    told, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert json.loads(told)["failed"] == dict.fromkeys(
        ["class0/red.png", "class1/007b.png"],
        f"killed the process that computed it, twice: {reason}",
    )
    invoke(main, "verify", store)
    masks = MaskStore(store)
    assert len(masks) == len(without) + 2
    assert all((masks[name] == without[name]).all() for name in without.names)


def test_deaths_that_no_image_is_to_blame_for_cost_no_image(photographs, tmp_path):
    store, moods = tmp_path / "store", tmp_path / "moods"
    moods.mkdir()
    for number in range(4):  # in the pool, in a process for the shard, twice among its images
        (moods / str(number)).touch()
    run(*arguments(photographs, store, "moody"), environment={"DILO_MOODS": str(moods)})
    assert not list(moods.iterdir())
    assert not MaskStore(store).failed().any()


def test_a_method_that_always_dies_ends_the_run_with_a_store_of_failures(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        mark(images / f"{number}.png")
    run(*arguments(images, tmp_path / "store", "crashing"))
    assert MaskStore(tmp_path / "store").failed().all()
