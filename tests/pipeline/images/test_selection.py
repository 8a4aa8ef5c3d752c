"""Which images are used: lists of paths, of folders and of file names, globs, the first."""

import pytest
from support.archives import contents_of, tar_of
from support.photographs import photograph_folder

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import archives
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import open_images


@pytest.fixture
def images(tmp_path):
    """Write class0/000.jpg, class1/001.jpg and so on to class1/005.jpg."""
    return photograph_folder(tmp_path / "images", 6)


def listed(images, *lines, **options):
    file = images.parent / "list.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    return ImageSelection(images, file, **options)


def test_a_list_of_folders_takes_all_images_in_them(images):
    assert list(listed(images, "class1").names()) == [
        *("class1/001.jpg", "class1/003.jpg", "class1/005.jpg")
    ]
    assert list(listed(images, "class1", "class0", limit=4).names()) == [
        *("class1/001.jpg", "class1/003.jpg", "class1/005.jpg", "class0/000.jpg")
    ]
    assert list(listed(images, "class1/", include=("*3.jpg",)).names()) == ["class1/003.jpg"]


def test_a_list_of_file_names_finds_them_in_their_folders(images):
    assert list(listed(images, "003.jpg", "000.jpg").names()) == [
        *("class1/003.jpg", "class0/000.jpg")
    ]
    assert list(listed(images, "003.jpg", "class0", "000.jpg").names()) == [
        *("class1/003.jpg", "class0/000.jpg", "class0/002.jpg", "class0/004.jpg")
    ]


def test_lines_that_are_nothing_are_refused_unless_all_are(images):
    message = r"list.txt: each line must be a path, a file name or a folder .* got 1 .* as 9.jpg"
    with pytest.raises(DiloError, match=message):
        listed(images, "003.jpg", "9.jpg").names()
    # A list of images that are not there: their rows fail, each with its reason.
    assert list(listed(images, "8.jpg", "9.jpg").names()) == ["8.jpg", "9.jpg"]


def test_a_file_name_of_two_images_is_refused(images):
    (images / "class0" / "001.jpg").write_bytes((images / "class1" / "001.jpg").read_bytes())
    message = "got 001.jpg, which is class0/001.jpg and class1/001.jpg: write paths"
    with pytest.raises(DiloError, match=message):
        listed(images, "001.jpg").names()


def test_among_known_names_nothing_is_looked_for_on_the_disk(tmp_path):
    names = Names(["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    nowhere = tmp_path / "images"
    assert ImageSelection(nowhere).names_among(names, "masks") == names
    assert list(ImageSelection(nowhere, limit=2).names_among(names, "masks")) == list(names[:2])
    some = ImageSelection(nowhere, include=("b/*",))
    assert list(some.names_among(names, "masks")) == ["b/1.jpg"]
    with pytest.raises(DiloError, match="got c/\\*, which matches none of 3 images of masks"):
        ImageSelection(nowhere, include=("c/*",)).names_among(names, "masks")
    (tmp_path / "list.txt").write_text("b\n")
    folders = ImageSelection(nowhere, tmp_path / "list.txt")
    assert list(folders.names_among(names, "masks")) == ["b/1.jpg"]


def test_options_that_narrow_are_told_as_they_were_given(tmp_path):
    assert not ImageSelection(tmp_path).is_narrowed
    assert ImageSelection(tmp_path).options() == {}
    narrowed = ImageSelection(tmp_path, tmp_path / "a b.txt", ("n01*/*",), 5)
    assert narrowed.describe() == f"--list '{tmp_path}/a b.txt' --include 'n01*/*' --limit 5"
    assert narrowed.options() == {
        "list": f"{tmp_path}/a b.txt",
        "include": ["n01*/*"],
        "limit": 5,
    }


def test_an_archive_whose_index_is_beside_a_store_is_not_listed_again(
    images, tmp_path, monkeypatch
):
    tar, store = tar_of(contents_of(images), tmp_path / "images.tar"), tmp_path / "store"
    store.mkdir()
    open_images(tar).keep(store)
    (tmp_path / "list.txt").write_text("003.jpg\n000.jpg\n")
    selection = ImageSelection(tar, tmp_path / "list.txt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    monkeypatch.setattr(archives, "_MAX_INDEXES", 0)  # each process keeps none
    monkeypatch.setattr(archives, "list_tar", None)
    names = selection.names(store=store)
    assert list(names) == ["class1/003.jpg", "class0/000.jpg"]
    source = selection.open(store)
    assert selection.names_among(names, "masks", source) == names
    assert selection.class_names(names, source) is None
