"""Which image has which mask: by the rules of import, or by the store; the rest is named."""

import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from support.objects import objects_and_masks, store_of

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.store import MaskStore
from dilo.train.saliency.pairs import find_pairs, squash_image


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Names as import has them: a/b.jpg -> a/b.png; of two alike, each keeps its extension."""
    images, truth = tmp_path / "images", tmp_path / "truth"
    for name in ("a/b.jpg", "same.jpg", "same.png", "alone.jpg"):
        write(images / name, np.full((4, 6, 3), 100))
    write(truth / "a" / "b.png", np.full((4, 6), 10))
    write(truth / "same.jpg.png", np.full((4, 6), 20))
    write(truth / "same.png.png", np.full((4, 6), 30))
    return images, truth


def test_masks_are_named_as_import_has_them_and_images_without_are_left_out_by_name(folders):
    pairs = find_pairs(*folders)
    found = {pairs.source.names[i]: pairs.read(int(i))[1][0, 0] for i in pairs.source.indices}
    assert found == {"a/b.jpg": 10, "same.jpg": 20, "same.png": 30}
    assert pairs.skipped == (f"1 skipped without a mask in {folders[1]}: alone.jpg",)
    assert not pairs.soft


def test_another_list_of_masks_is_another_truth(folders):
    before = find_pairs(*folders).digest()
    assert find_pairs(*folders).digest() == before
    write(folders[1] / "alone.png", np.full((4, 6), 10))
    assert find_pairs(*folders).digest() != before


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_folder_of_other_masks_is_refused_with_the_name_that_was_looked_for(
    folders, tmp_path, name
):
    other = tmp_path / "other"
    write(other / name, np.zeros((4, 6)))
    with pytest.raises(DiloError, match=r"--truth .*other must be a store, or hold .* a/b.png"):
        find_pairs(folders[0], other)


def test_labels_of_0_and_1_and_masks_that_do_not_fit(folders):
    write(folders[1] / "a" / "b.png", [[0, 0, 1], [0, 1, 1]])
    pairs = find_pairs(*folders)
    assert_array_equal(pairs.read(0 if pairs.source.names[0] == "a/b.jpg" else 1)[1].max(), 255)
    write(folders[1] / "a" / "b.png", np.zeros((6, 4)))
    position = pairs.source.names.index("a/b.jpg")
    with pytest.raises(ImageError, match="must have the image's proportions, 6 x 4"):
        pairs.read(position)


def test_labels_are_squashed_to_their_nearest_and_images_without_a_filter(folders):
    pairs = find_pairs(*folders)
    rows = np.arange(8, dtype=np.uint8)[:, None].repeat(8, 1)
    # Of two pixels' width, the middle of a target pixel lies between two: either is nearest.
    found = pairs.squashed_mask(rows, 3)
    centres = [(i + 0.5) * 8 / 3 - 0.5 for i in range(3)]
    assert_array_equal(found[:, 0], [round(centre) for centre in centres])
    image = np.zeros((8, 8, 3), np.uint8)
    image[::4] = 200  # of a row in four, two of the pixels at a third of the size see nothing
    squashed = squash_image(image, 2)
    expected = [0.5 * image[1, 0, 0] + 0.5 * image[2, 0, 0]] * 2  # from rows 1.5 and 5.5
    assert_array_equal(squashed[:, 0, 0], expected)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("stored")
    images, _ = objects_and_masks(root, 5)
    write(images / "flat.jpg", np.full((40, 40, 3), 77))
    (images / "torn.jpg").write_bytes(b"\xff\xd8 no more")
    return images, store_of(images, root / "masks")


def test_of_a_store_masks_that_failed_are_empty_or_small_are_left_out(stored):
    pairs = find_pairs(*stored)
    assert pairs.soft
    assert pairs.digest() == MaskStore(stored[1]).fingerprint
    assert len(pairs.source.indices) == 5
    assert pairs.skipped == (
        "1 skipped for which no mask could be made: torn.jpg",
        "1 skipped whose mask is empty: flat.jpg",
    )
    store = MaskStore(stored[1])
    for position in pairs.source.indices:
        assert_array_equal(pairs.read(int(position))[1], store[int(position)])
    coverage = store.column("coverage")[pairs.source.indices]
    bound = float(np.sort(coverage)[2])
    fewer = find_pairs(*stored, bound)
    assert len(fewer.source.indices) == 3
    assert f"2 skipped whose mask covers under {bound:g}: " in fewer.skipped[2]
    with pytest.raises(DiloError, match=r"cover at least 0.99 of the image, .* got none among 7"):
        find_pairs(*stored, 0.99)


def test_a_store_of_other_images_is_refused(stored, tmp_path):
    objects_and_masks(tmp_path, 1)
    (tmp_path / "images" / "000.jpg").rename(tmp_path / "images" / "x.jpg")
    with pytest.raises(DiloError, match=r"--truth .* must be of the images of --images"):
        find_pairs(tmp_path / "images", stored[1])


def test_of_several_stores_the_mean_is_learnt_where_all_have_a_mask(stored, tmp_path):
    images, first = stored
    fewer = tmp_path / "images"
    shutil.copytree(images, fewer)
    (fewer / "000.jpg").unlink()
    shutil.copy(fewer / "flat.jpg", fewer / "002.jpg")
    second = store_of(fewer, tmp_path / "masks")
    pairs = find_pairs(images, first, others=[second])
    assert len(pairs.source.indices) == 3
    named = "000.jpg, 002.jpg"
    assert pairs.skipped[-1] == f"2 skipped without a mask of anything in {second}: {named}"
    position = int(pairs.source.indices[0])
    expected = np.mean([MaskStore(store)["001.jpg"] for store in (first, second)], axis=0)
    assert_array_equal(pairs.read(position)[1], np.rint(expected))
    assert pairs.digest() == "+".join(MaskStore(store).fingerprint for store in (first, second))
    with pytest.raises(DiloError, match=r"--truth, given again, must be a store each time, got"):
        find_pairs(images, first, others=[images])
