"""The images of a run: which, with which masks; and what stands in for what cannot be read."""

import errno
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.photographs import photograph_folder

from dilo.pipeline.errors import AccessError, DiloError, ImageError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.computed import make_masks
from dilo.pipeline.store import MaskStore
from dilo.train.data.images import MAX_SUBSTITUTES, find_image_set, first_readable


def listed(usable):
    names, images = Names(f"{number}.jpg" for number in range(40)), FolderSource(Path("photos"))
    return SimpleNamespace(images=images, folder=images.path, names=names, indices=np.array(usable))


def reading(broken):
    def load(position):
        if position in broken:
            raise ImageError(f"{position} is torn")
        return f"image {position}"

    return load


def test_the_next_of_the_usable_that_can_be_read_stands_in_around_the_end():
    source = listed([3, 5, 8, 9])
    assert first_readable(source, 5, reading({})) == ("image 5", 1)
    assert first_readable(source, 5, reading({5, 8})) == ("image 9", 3)
    assert first_readable(source, 9, reading({9})) == ("image 3", 0)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_nothing_stands_in_for_what_the_system_does_not_give_now(number):
    def load(position):
        raise ImageError("not now", number)

    with pytest.raises(AccessError, match=r"photos/5.jpg: "):
        first_readable(listed([3, 5, 8]), 5, load)


def test_where_many_in_a_row_cannot_be_read_the_run_ends_with_the_reason():
    source, all_of_them = listed(range(40)), set(range(40))
    message = rf"--images photos: {MAX_SUBSTITUTES} images from 2.jpg on .* because: 17 is torn"
    with pytest.raises(DiloError, match=message):
        first_readable(source, 2, reading(all_of_them))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write eight photographs, and masks of six of them."""
    folder = tmp_path_factory.mktemp("data")
    images = photograph_folder(folder / "images", 8)
    first = ImageSelection(images, include=("*0[0-5].jpg",))
    return images, make_masks(first, folder / "masks", size=16, workers=1).folder


def test_the_images_with_masks_are_trained_on_and_said(data):
    source = find_image_set(*data)
    assert source.share() == "6 of 8 images: those with masks"


def test_a_selection_has_its_own_names_and_the_masks_of_these(data):
    images, masks = data
    file = masks / "list.txt"
    file.write_text("class1/007.jpg\nclass1/003.jpg\nclass0/000.jpg\n")
    source = find_image_set(ImageSelection(images, file), masks)
    assert list(source.names) == ["class1/007.jpg", "class1/003.jpg", "class0/000.jpg"]
    assert source.indices.tolist() == [1, 2]
    assert source.has_mask.tolist() == [False, True, True]
    assert source.share() == f"2 of 3 images by --list {file}: those with masks"
    assert (source.without_row, source.unreadable, source.never_pasted) == (1, 0, 0)
    store = MaskStore(masks)
    assert np.array_equal(source.mask(1), store["class1/003.jpg"])
    bare = find_image_set(ImageSelection(images, file), None)
    assert bare.names == source.names
    assert bare.share() == f"3 images by --list {file}"


def test_without_a_list_a_selection_is_one_of_the_images_with_masks(data):
    images, masks = data
    source = find_image_set(ImageSelection(images, include=("class1/*",), limit=2), masks)
    assert list(source.names) == ["class1/001.jpg", "class1/003.jpg"]
    assert source.share() == "2 images by --include 'class1/*' --limit 2"


def test_a_selection_without_a_mask_is_refused(data):
    images, masks = data
    file = masks / "none.txt"
    file.write_text("class1/007.jpg\n")
    message = "must have masks of the images by --list .*none.txt, got none of 1, such as class1/"
    with pytest.raises(DiloError, match=message):
        find_image_set(ImageSelection(images, file), masks)
