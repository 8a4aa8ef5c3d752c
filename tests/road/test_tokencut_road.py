"""`dilo-prep masks --method tokencut`: a file of weights to a store, resumed, and refusals."""

import json

import numpy as np
import pytest
from PIL import Image
from support.checkpoints import write_checkpoint
from support.cli import invoke
from support.foreign import saved
from support.networks import weights_of
from support.photographs import photograph_folder
from support.transformers import dino_state, dinov2_state

from dilo.eval.tokencut.maskmethods import RECIPES
from dilo.pipeline.cli import main
from dilo.pipeline.images import decode
from dilo.pipeline.saliency import saliency
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import Plan

#: In this process, on images of a few cells.
HERE = ("--jobs", 1, "--backend", "threading", "--device", "cpu", "--shard-size", 4)
SMALL = ("--set", "side=48")


@pytest.fixture(scope="module")
def images(module_folder):
    """Write photographs, one pixel, a line, one colour, and what is no image."""
    folder = photograph_folder(module_folder / "images", 4)
    for name, shape in {"pixel": (1, 1, 3), "line": (2, 300, 3), "flat": (40, 50, 3)}.items():
        Image.fromarray(np.full(shape, 90, np.uint8)).save(folder / "class0" / f"{name}.png")
    (folder / "class1" / "bad.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def dino(module_folder):
    return saved(module_folder / "dino.pth", {"teacher": dino_state(), "epoch": 1})


def masks(images, out, weights, *more, status=0):
    arguments = ("masks", "--images", images, "--out", out, "--method", "tokencut")
    return invoke(main, *arguments, "--weights", weights, *HERE, *more, status=status)


def contents(store):
    return {file.name: file.read_bytes() for file in sorted(store.iterdir())}


def test_a_file_of_dinos_makes_a_store_as_published_that_is_resumed(images, dino, tmp_path):
    store = tmp_path / "store"
    first = masks(images, store, dino, *SMALL, "--refine", "grabcut", "--json")
    record = json.loads(first.stdout)
    assert (record["done_images"], list(record["failed"])) == (8, ["class1/bad.jpg"])
    plan = Plan.load(store)
    assert plan.size == 48
    assert plan.parameters.items() >= RECIPES["published"].items()
    assert (plan.parameters["recipe"], plan.parameters["side"]) == ("published", 48)
    masked = MaskStore(store)
    for name in set(masked.names) - {"class1/bad.jpg"}:
        options = {"refine": "grabcut", "settings": {"side": 48}, "weights": dino}
        expected = saliency(decode(images / name), "tokencut", **options)
        np.testing.assert_array_equal(masked[name], expected, name)
    assert any(mask.any() for mask in masked)
    before = contents(store)
    (store / "shard-00001.h5").unlink()
    again = masks(images, store, dino, *SMALL, "--refine", "grabcut")
    assert "to do: 4 images in 1" in again.stderr
    assert contents(store) == before
    invoke(main, "verify", store, "--images", images)


def test_a_batch_changes_no_mask_by_more_than_rounding(images, dino, tmp_path):
    options = (*SMALL, "--set", "recipe=weighted")
    masks(images, tmp_path / "one", dino, *options)
    masks(images, tmp_path / "many", dino, *options, "--batch", 3, "--threads", 2)
    one, many = (np.stack(list(MaskStore(tmp_path / name))) for name in ("one", "many"))
    assert np.abs(one.astype(int) - many).max() <= 1
    assert len(np.unique(one)) > 50  # soft


def test_our_own_checkpoint_and_dinov2_are_cut_by_the_weighted_recipe(images, tmp_path):
    files = {
        "layer4": (write_checkpoint(tmp_path / "moco.pt"), ()),
        "token": (saved(tmp_path / "dinov2.pth", dinov2_state(registers=4)), SMALL),
    }
    for features, (weights, options) in files.items():
        store = tmp_path / features
        masks(images, store, weights, *options)
        parameters = Plan.load(store).parameters
        assert (parameters["recipe"], parameters["features"]) == ("weighted", features)
        side = 48 if options else 32
        assert parameters["side"] == side
        assert next(iter(MaskStore(store))).shape == (side, side)


def test_a_dry_run_writes_nothing(images, dino, tmp_path):
    result = masks(images, tmp_path / "store", dino, *SMALL, "--dry-run", "--json")
    assert json.loads(result.stdout)["sampled"] == 8
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("unet", (), "nor has it the layers of a vision transformer of DINO's or DINOv2's"),
        ("dino", ("--set", "side=50"), "side must be a multiple of the patches of 8 px"),
        ("dino", ("--set", "features=layer4"), "features must be one of token, key, query, value"),
        ("dino", ("--class", "true"), "--class belongs to --method cam or gradient, got tokencut"),
        ("dino", ("--set", "recipe=mine"), "recipe must be one of weighted, published"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_store_is_begun(
    images, dino, tmp_path, kind, options, words
):
    weights = dino if kind == "dino" else weights_of(kind, tmp_path)
    status = 2 if "--class" in options or "recipe=mine" in options else 3
    result = masks(images, tmp_path / "store", weights, *options, status=status)
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "store").exists()


def test_without_weights_it_is_refused(images, tmp_path):
    arguments = ("masks", "--images", images, "--out", tmp_path / "s", "--method", "tokencut")
    assert "give its --weights FILE" in invoke(main, *arguments, status=2).stderr
