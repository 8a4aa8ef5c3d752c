"""The index of a COCO file: masks of an image, what is refused, and what a store keeps."""

import json
import os

import numpy as np
import pytest
from support.cocofiles import packed, write_coco_masks

from dilo.pipeline.errors import ContentError, DiloError, ImageError
from dilo.pipeline.masks import cocoindex
from dilo.pipeline.masks.cocoindex import INDEX, CocoIndex

SHAPE = (12, 20)
#: Width and height are swapped, as in MaskCut's files.
ENTRIES = [
    {"id": number, "file_name": f"n01/{number}.JPEG", "width": 12, "height": 20}
    for number in (5, 3, 9)
]


def rectangle(top, left, bottom, right, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


FIRST, SECOND = rectangle(1, 2, 8, 9), rectangle(4, 5, 12, 20)
ONE_MASK = ((3, packed(FIRST)),)


def written(path, masks=ONE_MASK, entries=ENTRIES, **more):
    return write_coco_masks(path / "masks.json", entries, masks, **more)


@pytest.fixture
def index(tmp_path):
    masks = [(3, packed(FIRST)), (5, packed(SECOND)), (3, packed(SECOND))]
    return CocoIndex.find(written(tmp_path, masks), tmp_path)


def test_the_mask_of_an_image_is_the_union_of_its_annotations(index):
    both = index.mask("n01/3.JPEG", SHAPE)
    assert (both.dtype, both.shape) == (np.uint8, SHAPE)
    np.testing.assert_array_equal(both, np.where(FIRST | SECOND, 255, 0))
    np.testing.assert_array_equal(index.mask("n01/5.JPEG", SHAPE), np.where(SECOND, 255, 0))
    assert index.annotation_counts().tolist() == [1, 2, 0]


def test_an_image_without_an_annotation_has_an_empty_mask_and_one_that_is_not_listed_none(index):
    np.testing.assert_array_equal(index.mask("n01/9.JPEG", (7, 5)), np.zeros((7, 5)))
    with pytest.raises(ImageError, match=r"^no mask: masks.json lists no image of this name$"):
        index.mask("n01/1.JPEG", SHAPE)


def test_annotations_may_come_before_their_images_and_need_no_id(tmp_path):
    content = json.loads(written(tmp_path, [(3, packed(FIRST)), (5, packed(SECOND))]).read_text())
    for annotation in content["annotations"]:
        del annotation["id"]
    content = {"annotations": content["annotations"], "images": content["images"]}
    (tmp_path / "turned.json").write_text(json.dumps(content, indent=1))
    index = CocoIndex.find(tmp_path / "turned.json", tmp_path)
    np.testing.assert_array_equal(index.mask("n01/3.JPEG", SHAPE), np.where(FIRST, 255, 0))
    np.testing.assert_array_equal(index.mask("n01/5.JPEG", SHAPE), np.where(SECOND, 255, 0))


def test_outlines_and_crowds_count_and_paths_are_cleaned(tmp_path):
    entries = [{"id": "a", "file_name": "./n01//ü.jpg", "width": 20, "height": 12}]
    runs = {"size": [12, 20], "counts": [0, 12, 228], "crowd": 1}
    masks = [("a", [[5, 3, 9, 3, 9, 8, 5, 8]]), ("a", runs)]
    index = CocoIndex.find(written(tmp_path, masks, entries), tmp_path)
    mask = index.mask("n01/ü.jpg", SHAPE)
    expected = rectangle(3, 5, 8, 9) | rectangle(0, 0, 12, 1)
    np.testing.assert_array_equal(mask, np.where(expected, 255, 0))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([(3, {"size": [12, 20], "counts": "52203"})], "its annotation (id 1): run lengths of 20"),
        ([(3, None), (5, packed(FIRST))], "its annotation (id 1): segmentation must be polygons"),
        (
            [(3, packed(FIRST)), (3, packed(FIRST[:-1]))],
            "all masks of an image must have one size, got 20 x 11, 20 x 12",
        ),
    ],
)
def test_an_annotation_that_is_no_mask_is_the_image_s_fault_alone(tmp_path, masks, words):
    index = CocoIndex.find(written(tmp_path, masks), tmp_path)
    with pytest.raises(ImageError) as caught:
        index.mask("n01/3.JPEG", SHAPE)
    assert str(caught.value).startswith(words)
    assert not index.mask("n01/9.JPEG", SHAPE).any()


def test_outlines_need_the_size_of_their_image(tmp_path):
    index = CocoIndex.find(
        written(tmp_path, [(1, [[0, 0, 5, 0, 5, 5]])], [{"id": 1, "file_name": "a.jpg"}]), tmp_path
    )
    with pytest.raises(ImageError, match="its entry in images: height and width must be whole"):
        index.mask("a.jpg", SHAPE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": []}, 'with a list "images", got none'),
        ({"images": 3}, 'with a list "images", got none'),
        ({"annotations": []}, 'with a list "annotations", got none'),
        ({"images": [7]}, "images[0]: must be an object of JSON, got 7"),
        ({"images": [{"file_name": "a"}]}, "images[0]: an image must have an id, got None"),
        ({"images": [{"id": 1, "file_name": "../a"}]}, "file_name must be a path below the folder"),
        ({"images": [ENTRIES[0]] * 2}, "images[1]: an image must stand once, got the id 5 twice"),
        (
            {"images": [*ENTRIES, {**ENTRIES[0], "id": 77}]},
            "must list each image once, got the file_name n01/5.JPEG twice",
        ),
        ({"annotations": ["x"]}, "annotations[0]: must be an object of JSON, got x"),
        ({"annotations": [{"id": 1}]}, 'of an image in "images", got image_id None'),
        (
            {"annotations": [{"image_id": 3, "segmentation": 1}, {"image_id": "3"}]},
            "annotations[1]: an annotation must be of an image in \"images\", got image_id '3'",
        ),
        ({"annotations": [{"image_id": 3, "bbox": [0, 0, 1, 1]}]}, "must have masks, as polygons"),
    ],
)
def test_what_is_no_file_of_masks_is_refused_in_a_sentence(tmp_path, change, words):
    with pytest.raises(ContentError) as caught:
        CocoIndex.find(written(tmp_path, **change), tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "masks.json"))
    assert words in str(caught.value)


def test_a_list_of_results_and_a_picture_are_no_such_file(tmp_path):
    for content in (b'[{"image_id": 1}]', b"\x89PNG\r\n"):
        (tmp_path / "other.json").write_bytes(content)
        with pytest.raises(ContentError, match=r"other.json must be JSON, but .* byte 0 must be {"):
            CocoIndex.find(tmp_path / "other.json", tmp_path)


def test_a_store_keeps_the_index_which_spares_reading_the_file(index, tmp_path, monkeypatch):
    index.keep(tmp_path)
    monkeypatch.delattr(cocoindex, "iterate_lists")
    again = CocoIndex.find(index.file, tmp_path)
    assert (again.digest, again.names) == (index.digest, index.names)
    np.testing.assert_array_equal(again.mask("n01/3.JPEG", SHAPE), index.mask("n01/3.JPEG", SHAPE))


@pytest.mark.parametrize("damage", [b"", b"no zip", None])
def test_an_index_of_another_file_or_a_damaged_one_is_made_anew(index, tmp_path, damage):
    index.keep(tmp_path)
    if damage is None:
        os.utime(index.file, ns=(1, 1))
    else:
        (tmp_path / INDEX).write_bytes(damage)
    again = CocoIndex.find(index.file, tmp_path)
    assert again.time == index.file.stat().st_mtime_ns
    again.keep(tmp_path)
    assert CocoIndex._load(tmp_path / INDEX, again.file, again.size, again.time) is not None


def test_an_index_that_somebody_wrote_wrongly_is_not_used(index, tmp_path):
    index.keep(tmp_path)
    with np.load(tmp_path / INDEX) as content:
        arrays = dict(content)
    for name, value in (("first", arrays["first"][::-1]), ("offset", arrays["offset"][:-1])):
        np.savez(tmp_path / INDEX, **arrays | {name: value})
        assert CocoIndex._load(tmp_path / INDEX, index.file, index.size, index.time) is None


def test_a_file_that_is_gone_is_no_image_s_fault(index):
    index.file.unlink()
    with pytest.raises(DiloError, match="got nothing there: is the disk mounted") as caught:
        index.mask("n01/3.JPEG", SHAPE)
    assert not isinstance(caught.value, ImageError)
