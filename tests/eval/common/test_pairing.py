"""Where masks come from: stores and folders of PNGs, and what pairs with what."""

import pickle
import re

import numpy as np
import pytest
from PIL import Image
from support.maps import disc, save
from support.runs import photographs_and_masks

from dilo.eval.common.pairing import PngFolder, StoredMasks, match_by_name, open_masks
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.store.plan import shard_path


def test_a_folder_of_pngs_is_read_at_any_depth_and_by_path_without_extension(tmp_path):
    save(tmp_path / "b.v2.PNG", disc((4, 5), 2))
    save(tmp_path / "deep" / "er" / "a.png", disc((6, 7), 2))
    save(tmp_path / "deep" / "photograph.jpg", disc((6, 7), 2))
    folder = PngFolder(tmp_path, "--truth")
    assert folder.keys == ["b.v2", "deep/er/a"]
    assert np.array_equal(folder.read("deep/er/a"), disc((6, 7), 2))


def test_nothing_to_pair_is_refused_in_words():
    with pytest.raises(DiloError, match="got none, but --truth has 1: check both folders"):
        match_by_name(["1"], [], "masks")
    with pytest.raises(DiloError, match="got 1, but --truth has none: check both folders"):
        match_by_name([], ["1"], "masks")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "LA", "I;16"])
def test_a_picture_of_any_mode_is_gray(tmp_path, mode):
    pixels = disc((8, 9), 3)
    if mode == "I;16":
        picture = Image.fromarray(pixels.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(PngFolder(tmp_path, "--truth").read("a"), pixels)


def test_a_folder_without_pngs_gives_its_other_pictures_and_one_of_the_images_is_refused(tmp_path):
    save(tmp_path / "a.jpg", disc((4, 5), 2))
    folder = PngFolder(tmp_path, "--truth")
    assert folder.keys == ["a"]
    assert folder.remarks() == [
        f"{tmp_path}: masks are JPEG, which blurs edges: PNG does not (1 of 1 looked at)"
    ]
    with pytest.raises(DiloError, match="masks beside their images must be PNGs, got none"):
        PngFolder(tmp_path, "--truth", tmp_path)


def test_masks_of_0_and_1_are_of_0_and_255_and_said_to_be(tmp_path):
    save(tmp_path / "a.png", disc((8, 9), 3) // 255)
    folder = PngFolder(tmp_path, "--truth")
    assert np.array_equal(folder.read("a"), disc((8, 9), 3))
    assert np.array_equal(folder.read_truth("a"), disc((8, 9), 3) > 0)
    assert "hold 0 and 1, taken as 0 and 255" in folder.remarks()[0]


def test_truth_that_is_gray_coloured_or_of_another_picture_is_refused_by_its_name(tmp_path):
    save(tmp_path / "a.png", disc((8, 9), 3) // 2)
    folder = PngFolder(tmp_path, "--truth")
    with pytest.raises(DiloError, match=r"a\.png: its mask must be white .*, got at most 127"):
        folder.read_truth("a")
    save(tmp_path / "a.png", disc((8, 9), 3))
    assert folder.read_truth("a", (16, 18, 3)).any()
    with pytest.raises(DiloError, match=r"a\.png: its mask must have the image's proportions"):
        folder.read_truth("a", (18, 16, 3))
    save(tmp_path / "a.png", np.dstack([disc((8, 9), 3)] + [np.zeros((8, 9), np.uint8)] * 2))
    with pytest.raises(DiloError, match=r"a\.png: its mask must be gray, got colours"):
        folder.read("a")


def test_two_files_of_one_name_are_refused(tmp_path):
    save(tmp_path / "a.png", disc((4, 5), 2))
    save(tmp_path / "a.PNG", disc((4, 5), 2))
    with pytest.raises(DiloError, match="each name once, whatever the extension, got a twice"):
        PngFolder(tmp_path, "--truth")


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DiloError, match=r"a\.png must be a picture, got: not an image: replace it"):
        PngFolder(tmp_path, "--truth").read("a")


def test_a_store_gives_its_masks_by_path_without_extension_even_when_pickled(tmp_path):
    _, folder = photographs_and_masks(tmp_path, 4)
    stored = pickle.loads(pickle.dumps(StoredMasks(folder)))
    assert stored.keys == ["class0/000", "class0/002", "class1/001", "class1/003"]
    assert stored.read("class1/003").shape == (32, 32)
    assert len({stored.read(key).tobytes() for key in stored.keys}) == 4
    assert not stored.failed


def test_a_store_knows_which_images_failed(tmp_path):
    from dilo.pipeline.compute.shard import ShardBuilder
    from dilo.pipeline.masks.computed import MethodSource

    images, folder = photographs_and_masks(tmp_path, 4)
    (images / "class0" / "002.jpg").write_bytes(b"no picture")
    shard_path(folder, 1).unlink()
    ShardBuilder(FolderSource(images), folder, MethodSource()).build(1)
    stored = StoredMasks(folder)
    assert stored.failed == {"class0/002"}
    assert not stored.read("class0/002").any()


def test_a_store_that_is_not_finished_is_refused_before_any_work(tmp_path):
    _, folder = photographs_and_masks(tmp_path, 4)
    shard_path(folder, 2).unlink()
    with pytest.raises(StoreError, match=r"shard-00002\.h5"):
        StoredMasks(folder)


def test_what_holds_a_plan_is_a_store_and_anything_else_a_folder(tmp_path):
    _, folder = photographs_and_masks(tmp_path, 2)
    save(tmp_path / "png" / "000.png", disc((4, 5), 2))
    assert isinstance(open_masks("a", folder, ["class0/000"]).source, StoredMasks)
    assert isinstance(open_masks("b", tmp_path / "png", ["class0/000"]).source, PngFolder)


@pytest.mark.parametrize(
    ("truths", "masks", "expected"),
    [
        pytest.param(["1", "2"], ["2", "1", "3"], {"1": "1", "2": "2"}, id="by-path"),
        pytest.param(["a/1", "b/1"], ["b/1", "c/2"], {"b/1": "b/1"}, id="some-by-path"),
        pytest.param(["x/1", "x/2"], ["2", "1"], {"x/1": "1", "x/2": "2"}, id="by-name"),
        pytest.param(["1"], ["a/1", "a/2"], {"1": "a/1"}, id="some-by-name"),
    ],
)
def test_pairs_are_of_one_path_or_else_of_one_file_name(truths, masks, expected):
    assert match_by_name(truths, masks, "--masks m") == expected


@pytest.mark.parametrize(
    ("truths", "masks", "words"),
    [
        pytest.param(
            ["1", "2"],
            ["a/1", "b/1"],
            "--masks m must have the relative paths of its pairs, or each file name once, "
            "got 1 in two folders: use the same layout in both folders",
            id="two-masks",
        ),
        pytest.param(["a/1", "b/1"], ["1"], "--truth must have the relative paths", id="truths"),
        pytest.param(
            ["1"],
            ["x"],
            "--masks m must have files of the names in --truth, whatever the extension, "
            "got x, but --truth has 1: check both folders",
            id="none",
        ),
    ],
)
def test_what_cannot_be_paired_is_refused(truths, masks, words):
    with pytest.raises(DiloError, match=re.escape(words)):
        match_by_name(truths, masks, "--masks m")


def test_a_message_names_the_options_that_gave_the_files(tmp_path):
    save(tmp_path / "maps" / "1.png", disc((4, 5), 2))
    words = f"--maps {tmp_path / 'maps'} must have files of the names in --boxes b.csv"
    with pytest.raises(DiloError, match=re.escape(words)):
        open_masks("m", tmp_path / "maps", ["2"], option="--maps", of="--boxes b.csv")
