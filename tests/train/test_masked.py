"""An image with its mask, for data sets that open files by a function of their own."""

import errno
import pickle
import re

import numpy as np
import pytest
from PIL import Image
from support.runs import photographs_and_masks
from torchvision import tv_tensors
from torchvision.datasets import ImageFolder

from dilo.pipeline.errors import AccessError, ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.store import MaskStore
from dilo.train.copypaste import CopyPaste
from dilo.train.masked import LoadWithMask


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"), 6)


def test_an_image_comes_with_its_own_mask(made):
    images, masks = made
    data = ImageFolder(images, loader=LoadWithMask(images, masks))
    store = MaskStore(masks)
    for index, (path, label) in enumerate(data.samples):
        (image, mask), found = data[index]
        assert found == label
        assert np.array_equal(np.asarray(image), decode(path))
        assert isinstance(mask, tv_tensors.Mask)
        assert np.array_equal(mask.numpy(), store[f"class{label}/{path.rsplit('/', 1)[1]}"])


def test_a_transform_of_the_data_set_pastes(made):
    images, masks = made
    paste = CopyPaste(probability=1.0, min_coverage=0.0)
    data = ImageFolder(images, transform=paste, loader=LoadWithMask(images, masks))
    image, _ = data[0]
    assert isinstance(image, Image.Image)
    assert not np.array_equal(np.asarray(image), decode(data.samples[0][0]))


def test_any_way_to_name_the_folder_will_do(made, monkeypatch):
    images, masks = made
    monkeypatch.chdir(images.parent)
    load = pickle.loads(pickle.dumps(LoadWithMask(images.name, MaskStore(masks))))
    path = next(images.glob("*/*.jpg"))
    expected = load(path)[1]
    monkeypatch.chdir(images)
    assert load(path.relative_to(images))[1].equal(expected)


def test_an_image_without_a_mask_is_named(made):
    images, masks = made
    with pytest.raises(KeyError, match=r"must have a mask of '../other.jpg'"):
        LoadWithMask(images, masks)(images / ".." / "other.jpg")


def test_it_says_which_folders_it_reads(made):
    images, masks = made
    assert repr(LoadWithMask(images, masks)) == f"LoadWithMask({str(images)!r}, {str(masks)!r})"


def test_a_file_that_is_no_image_and_one_that_may_not_be_read_now_are_named(made, monkeypatch):
    images, masks = made
    load, path = LoadWithMask(images, masks), next(images.glob("*/*.jpg"))
    for number, kind in ((None, ImageError), (errno.EACCES, AccessError)):
        error = ImageError("so it is", number)

        def decode(path, error=error):
            raise error

        monkeypatch.setattr("dilo.pipeline.images.folder.read_file", decode)
        with pytest.raises(kind, match=re.escape(str(path))):
            load(path)
