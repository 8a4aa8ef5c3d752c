"""Whether a folder is the one that a store was made of."""

import errno
import os

import pytest
from support.stores import even_images, even_store

from dilo.pipeline.errors import AccessError, DiloError, StoreError
from dilo.pipeline.images.folder import FolderSource, whereabouts
from dilo.pipeline.images.presence import require_images
from dilo.train.data.images import find_image_set
from dilo.train.masked import LoadWithMask

NAMES = [f"train/{'ab'[i % 2]}/{i}.png" for i in range(12)]


@pytest.fixture
def root(tmp_path):
    return even_images(tmp_path / "root", NAMES)


def test_a_folder_that_lacks_a_few_is_the_right_one_and_one_that_lacks_most_is_not(root):
    for lost in range(6):
        require_images(FolderSource(root), NAMES)
        (root / NAMES[2 * lost]).unlink()
    (root / NAMES[1]).unlink()
    with pytest.raises(
        StoreError, match=r"a/0.png and 6 more of 12 checked are missing; .*mounted"
    ):
        require_images(FolderSource(root), NAMES)


def test_a_folder_that_lacks_the_first_is_not_the_right_one(tmp_path):
    names = [f"{i:03}.png" for i in range(100)]
    root = even_images(tmp_path / "root", names[8:20])
    for name in names[20:]:
        (root / name).touch()
    with pytest.raises(StoreError, match=r"000.png and 7 more of 30 checked"):
        require_images(FolderSource(root), names)


def test_training_with_the_folder_below_or_above_is_told_the_right_one(root, tmp_path):
    store = even_store(tmp_path / "masks", dict.fromkeys(NAMES, 50))
    below = root / "train"
    assert whereabouts(below, NAMES[0]).endswith(f"give {root}")
    with pytest.raises(DiloError, match=f"is not there: .* above this one: give {root}"):
        find_image_set(below, store)
    with pytest.raises(KeyError, match=f"got no such name; images {below}: .*: give {root}"):
        LoadWithMask(below, store)(below / "a" / "0.png")
    with pytest.raises(DiloError, match=f"in this one: give {root}"):
        find_image_set(tmp_path, store)


def test_a_folder_that_may_not_be_looked_into_is_not_called_the_wrong_one(root, monkeypatch):
    def refusing(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "lstat", refusing)
    with pytest.raises(AccessError, match=r"Permission denied: .*chmod"):
        require_images(FolderSource(root), NAMES)
