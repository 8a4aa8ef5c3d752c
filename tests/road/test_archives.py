"""From archives come the same masks, backgrounds and losses as from the folder, byte for byte."""

import hashlib

import pytest
from support.archives import contents_of, packed_forms
from support.cli import invoke
from support.photographs import photograph_folder
from support.runs import losses, machine, method_recipe, small_recipe

from dilo.pipeline.cli import main
from dilo.pipeline.images.archiveindex import INDEX
from dilo.pipeline.images.selection import ImageSelection
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


@pytest.fixture(scope="module")
def samples(module_folder):
    """Write samples of WebDataset: in tars, in all else that holds them, and as files.

    What names the classes of the files stands beside them.
    """
    photographs = contents_of(photograph_folder(module_folder / "classes", 8))
    contents, lines = {}, []
    for number, (name, content) in enumerate(photographs.items()):
        sample, label = f"train-{number % 2}/s{number}", name.partition("/")[0]
        contents |= {f"{sample}.jpg": content, f"{sample}.cls": label.encode()}
        lines.append(f"{sample}.jpg {label}\n")
    files = module_folder / "extracted"
    for name, content in contents.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_bytes(content)
    (module_folder / "labels.txt").write_text("".join(lines))
    forms = packed_forms(contents, module_folder / "samples")
    forms["packed"] = module_folder / "packed-samples"
    tars = forms["folder of tars"]
    local = ("--backend", "threading", "--workers", 1)
    invoke(main, "pack", "--images", tars, "--out", forms["packed"], *local)
    return ImageSelection(files, labels=(module_folder / "labels.txt",)), forms


def learnt(images, masks, run):
    """Train a classifier on pastes for an epoch: every loss depends on crops, masks and classes."""
    recipe = method_recipe("supervised", "optimizer.epochs=1", "paste.probability=0.5")
    source = find_image_set(images, masks)
    train(recipe, source, run, machine(), print)
    return losses(run), source.names.digest()


def test_samples_of_webdataset_give_what_their_files_and_a_list_of_labels_give(samples, tmp_path):
    files, forms = samples
    store = masks_of(files.root, tmp_path / "masks")
    expected = learnt(files, store, tmp_path / "run")
    assert len(set(find_image_set(files, store).class_names())) == 2
    for form in ("folder of tars", "tar of tars", "zip", "packed"):
        own = masks_of(forms[form], tmp_path / f"{form} masks")
        assert digests(own) == digests(store), form
        assert learnt(forms[form], own, tmp_path / f"{form} run") == expected, form
