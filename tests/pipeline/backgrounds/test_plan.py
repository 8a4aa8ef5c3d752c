"""Beginning a store of crops: masks that are whole, and of every image."""

import pytest
from support.backgrounds import masks_of
from support.photographs import photograph_folder

from dilo.pipeline.backgrounds.plan import open_complete_masks, require_masks, with_masks
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.selection import ImageSelection


@pytest.fixture
def masks(tmp_path):
    return masks_of(photograph_folder(tmp_path / "images", 5), tmp_path / "masks")


def test_images_are_those_of_the_masks_unless_there_is_a_list(masks, tmp_path):
    (tmp_path / "images" / "new.jpg").touch()
    asked = ImageSelection(tmp_path / "images", include=("class1/*",))
    assert list(with_masks(asked, masks).names()) == ["class1/001.jpg", "class1/003.jpg"]
    (tmp_path / "list").write_text("class0/004.jpg\n")
    listed = ImageSelection(tmp_path / "images", tmp_path / "list")
    assert with_masks(listed, masks) == listed


def test_an_image_without_a_mask_is_named(masks, tmp_path):
    (tmp_path / "images" / "a new.jpg").touch()
    require_masks(masks.names[1:3], masks)
    with pytest.raises(StoreError, match=r"got none of 1, such as a new.jpg: make their masks, or"):
        require_masks(ImageSelection(tmp_path / "images").names(), masks)


def test_masks_that_are_not_whole_are_refused(masks):
    assert open_complete_masks(masks.folder).fingerprint == masks.fingerprint
    (masks.folder / "shard-00001.h5").unlink()
    with pytest.raises(StoreError, match=r"must be whole, got missing shards 1: run the same dilo"):
        open_complete_masks(masks.folder)
