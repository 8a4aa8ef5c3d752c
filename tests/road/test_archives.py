"""From archives come the same masks, backgrounds and losses as from the folder, byte for byte."""

import hashlib

import pytest
from support.archives import contents_of, packed_forms, tar_of
from support.cli import invoke
from support.photographs import photograph_folder
from support.runs import losses, machine, method_recipe, small_recipe

from dilo.pipeline.cli import main
from dilo.pipeline.images.archiveindex import INDEX
from dilo.train.data.images import find_image_set
from dilo.train.engine.pretrain import train

FORMS = ("tar of tars", "deflated zip", "folder in a tar")


@pytest.fixture(scope="module")
def folder(module_folder):
    images = photograph_folder(module_folder / "images", 13)
    (images / "class0" / "006.jpg").write_bytes(b"torn")
    return images


@pytest.fixture(scope="module")
def packed(folder, module_folder):
    return packed_forms(contents_of(folder), module_folder / "packed")


def digests(store):
    """Digest the files of a store but for the index of its images."""
    files = sorted(file for file in store.iterdir() if file.name != INDEX)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def masks_of(images, store):
    options = ("--size", 16, "--shard-size", 5, "--backend", "threading", "--workers", 1)
    invoke(main, "masks", "--images", images, "--out", store, *options)
    return store


@pytest.fixture(scope="module")
def masks(folder, module_folder):
    return masks_of(folder, module_folder / "masks")


@pytest.mark.parametrize("form", FORMS)
def test_stores_of_an_archive_are_those_of_the_folder(folder, packed, masks, tmp_path, form):
    store = masks_of(packed[form], tmp_path / "masks")
    assert digests(store) == digests(masks)
    invoke(main, "verify", store, "--images", folder, "--workers", 1)
    invoke(main, "verify", masks, "--images", packed[form], "--workers", 1)
    crops = [tmp_path / name for name in ("crops-a", "crops-b")]
    for images, out in zip((folder, packed[form]), crops, strict=True):
        more = ("--min-side", 8, "--size", 16, "--backend", "threading", "--workers", 1)
        invoke(main, "backgrounds", "--images", images, "--masks", masks, "--out", out, *more)
    assert digests(crops[0]) == digests(crops[1])
    sheets = [tmp_path / name for name in ("a.png", "b.png")]
    for images, out in zip((folder, packed[form]), sheets, strict=True):
        invoke(main, "preview", masks, "--images", images, "--out", out, "--count", 3)
    assert sheets[0].read_bytes() == sheets[1].read_bytes()


def test_losses_of_an_archive_are_those_of_the_folder(folder, packed, masks, tmp_path):
    recipe = small_recipe("optimizer.epochs=1")
    found = []
    for number, images in enumerate((folder, packed["tar of tars"], packed["zip"])):
        source = find_image_set(images, masks)
        assert source.share() == "12 images"
        train(recipe, source, tmp_path / str(number), machine(), print)
        found.append(losses(tmp_path / str(number)))
    assert found[0] == found[1] == found[2]


def test_classes_of_samples_are_learnt_as_those_of_folders(folder, tmp_path):
    samples = {}
    for name, content in contents_of(folder).items():
        label, _, file = name.partition("/")
        samples[file] = content
        samples[file.replace(".jpg", ".cls")] = label.encode()
    recipe, found = method_recipe("supervised", "optimizer.epochs=1"), []
    both = (folder, tar_of(samples, tmp_path / "samples.tar"))
    for number, images in enumerate(both):
        source = find_image_set(images, None)
        train(recipe, source, tmp_path / str(number), machine(), print)
        found.append(source.class_names())
    assert found[0] is None
    assert set(found[1]) == {"class0", "class1"}
