"""PASCAL VOC's folders: what is read of them, and what is refused in a sentence."""

import numpy as np
import pytest
from support.detection import DETECTION, voc_xml, write_voc

from dilo.eval.detect.annotations import joined, size_mismatch
from dilo.eval.detect.voc_data import VOC_CLASSES, read_voc
from dilo.pipeline.errors import DiloError

CAT = ("cat", 1, 2, 30, 40, "<difficult>0</difficult>")
HARD_DOG = ("dog", 5, 6, 80, 60, "<difficult>1</difficult>")


def refusal(root, year=2007, split="test", *, subset=True):
    with pytest.raises(DiloError) as error:
        read_voc(root, year, split, subset=subset)
    return str(error.value)


def test_boxes_start_at_0_and_keep_their_last_corner_and_labels_are_alphabetic(tmp_path):
    write_voc(tmp_path, {"000002": [CAT, HARD_DOG], "000001": []})
    data = read_voc(tmp_path, 2007, "test", subset=True)
    first, second = data.images
    assert (first.image_id, second.image_id) == ("000002", "000001")
    assert (first.path, first.height, first.width) == (
        tmp_path / "VOC2007" / "JPEGImages" / "000002.jpg",
        60,
        80,
    )
    np.testing.assert_array_equal(first.boxes, [[0, 1, 30, 40], [4, 5, 80, 60]])
    assert [VOC_CLASSES[label] for label in first.labels] == ["cat", "dog"]
    assert first.difficult.tolist() == [False, True]
    assert first.segmentation is None
    assert second.boxes.shape == (0, 4)
    assert (data.name, data.rule, data.category_ids[0]) == ("voc_2007_test", "11 points", 1)
    assert len(data.trainable().images) == 1


def test_parts_of_persons_are_no_objects_and_decimals_are_read(tmp_path):
    folder = write_voc(tmp_path, {"1": [CAT]}, year=2012, split="trainval")
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    text = voc_xml([("person", 1, 2, 30, 40, part)]).replace("<xmax>30", "<xmax>30.25")
    (folder / "Annotations" / "1.xml").write_text(text)
    data = read_voc(tmp_path, 2012, "trainval", subset=True)
    np.testing.assert_array_equal(data.images[0].boxes, [[0, 1, 30.25, 40]])
    assert data.rule == "area"


def test_the_folder_may_be_named_at_any_level(tmp_path):
    folder = write_voc(tmp_path / "data" / "VOCdevkit", {"1": [CAT]})
    roots = (tmp_path / "data", folder.parent, folder)
    assert len({read_voc(root, 2007, "test", subset=True).digest for root in roots}) == 1


def test_two_years_are_joined_in_order_and_their_digest_tells_the_images_and_boxes(tmp_path):
    first = write_voc(tmp_path, {"1": [CAT]}, split="trainval")
    write_voc(tmp_path, {"2": [HARD_DOG]}, year=2012, split="trainval")
    sets = [read_voc(tmp_path, year, "trainval", subset=True) for year in (2007, 2012)]
    both = joined(sets)
    assert [image.image_id for image in both.images] == ["1", "2"]
    assert (both.name, both.rule) == ("voc_2007_trainval+voc_2012_trainval", "11 points")
    assert both.digest == joined(sets).digest != joined(sets[::-1]).digest
    assert both.chosen(["2"], "one").digest != both.chosen(["1"], "one").digest
    (first / "Annotations" / "1.xml").write_text(voc_xml([("cat", 1, 2, 30, 41, "")]))
    again = read_voc(tmp_path, 2007, "trainval", subset=True)
    assert again.digest != sets[0].digest


def test_a_list_of_another_length_than_the_official_one_is_refused_unless_it_may_be(tmp_path):
    write_voc(tmp_path, {"1": [CAT]})
    assert refusal(tmp_path, subset=False) == (
        f"{tmp_path}/VOC2007/ImageSets/Main/test.txt must list 4,952 images, as the official one "
        "does, got 1: complete it, or give --subset, which makes a number that compares with no "
        "published one"
    )


def test_folders_that_are_not_where_they_should_be_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    assert refusal(tmp_path) == (
        f"--voc {tmp_path} must hold VOC2007, or VOCdevkit/VOC2007, got images: unpack VOC's "
        "archives there"
    )
    assert "got nothing" in refusal(tmp_path / "none")
    (tmp_path / "VOC2007" / "Annotations").mkdir(parents=True)
    assert "VOC2007 must hold Annotations, ImageSets/Main, JPEGImages, got no ImageSets/Main" in (
        refusal(tmp_path)
    )


def test_a_list_that_is_not_there_names_those_that_are(tmp_path):
    folder = write_voc(tmp_path, {"1": [CAT]}, split="trainval")
    (folder / "ImageSets" / "Main" / "cat_trainval.txt").write_text("1 -1\n")
    words = refusal(tmp_path)
    assert "test.txt must be a list of images, got no such file, but trainval" in words
    assert words.endswith("unpack the archive of the test set")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n2 -1\n", "test.txt, line 2: must be the id of one image, such as 000005, got '2 -1'"),
        ("1\n../1\n", "test.txt, line 2: must be the id of one image"),
        ("1\n\n1\n", "test.txt, line 3: an image must be listed once, got 1, also in line 1"),
        ("\n", "test.txt must list images, one id a line, got none"),
    ],
)
def test_a_line_that_is_no_id_is_named(tmp_path, text, words):
    folder = write_voc(tmp_path, {"1": [CAT]})
    (folder / "ImageSets" / "Main" / "test.txt").write_text(text)
    assert words in refusal(tmp_path)


def test_an_annotation_without_its_image_and_an_image_without_its_annotation_are_named(tmp_path):
    folder = write_voc(tmp_path, {"1": [CAT], "2": [CAT]})
    (folder / "Annotations" / "2.xml").unlink()
    assert "JPEGImages/2.jpg needs its annotation, Annotations/2.xml, which is not there" in (
        refusal(tmp_path)
    )
    (folder / "JPEGImages" / "2.jpg").unlink()
    words = refusal(tmp_path)
    assert "VOC2007/Annotations/2.xml needs its image, JPEGImages/2.jpg, which is not" in words
    assert "test.txt, line 2; so are 1 of 2 in all" in words


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        (
            [CAT, ("cats", 1, 2, 3, 4, "")],
            "1.xml, line 6: an object must be of one of VOC's 20 classes, got 'cats': did you "
            "mean cat?",
        ),
        (
            [CAT, ("cat", 1, 2, 300, 40, "")],
            "1.xml, line 6: a box must lie in its image of 80 x 60 px, got xmin, ymin, xmax, ymax "
            "1, 2, 300, 40: is the annotation of another image?",
        ),
        ([("cat", 9, 2, 3, 40, "")], "got: line 3: a box must have 0 <= x0 <= x1"),
        ([("cat", -1, 2, 3, 40, "")], "got: line 3: a box must have 0 <= x0 <= x1"),
        ([("cat", "x", 2, 3, 40, "")], "got: line 3: a coordinate must be a number, got 'x'"),
    ],
)
def test_an_object_that_is_wrong_is_named_with_its_file_and_line(tmp_path, objects, words):
    folder = write_voc(tmp_path, {"1": [CAT]})
    (folder / "Annotations" / "1.xml").write_text(voc_xml(objects))
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation>", "1.xml must be an annotation of PASCAL VOC, got: no element found: line"),
        ("<annotation></annotation>", "1.xml must tell the image's size"),
        (
            voc_xml([]).replace("</annotation>", "<object><name>cat</name></object></annotation>"),
            "1.xml, line 3: an object must have its box, bndbox, got none",
        ),
    ],
)
def test_an_annotation_that_lacks_something_is_named(tmp_path, text, words):
    folder = write_voc(tmp_path, {"1": [CAT]})
    (folder / "Annotations" / "1.xml").write_text(text)
    assert words in refusal(tmp_path)


def test_an_image_of_another_size_than_its_annotation_has_a_sentence(tmp_path):
    write_voc(tmp_path, {"1": [CAT]})
    image = read_voc(tmp_path, 2007, "test", subset=True).images[0]
    assert str(size_mismatch(image, (30, 40))) == (
        f"{image.path} must have the size in its annotations, 80 x 60 px, got 40 x 30: its boxes "
        "would be wrong; take the data set's own images"
    )


@pytest.mark.skipif(not DETECTION.is_dir(), reason="needs images of VOC beside the repository")
def test_real_folders_are_read():
    sets = [
        read_voc(DETECTION / "VOCdevkit", year, split, subset=True)
        for year, split in ((2007, "trainval"), (2007, "test"), (2012, "trainval"))
    ]
    whole = joined(sets)
    assert [len(one.images) for one in sets] == [25, 25, 50]
    assert sum(len(image.boxes) for image in whole.images) == 273
    assert sum(int(image.difficult.sum()) for image in whole.images) == 38
