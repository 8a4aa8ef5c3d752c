"""Boxes from CSV and XML, and what is refused."""

import json
import os

import pytest
from support.detection import write_coco

from dilo.eval.localize.annotations import Annotation, read_annotations
from dilo.pipeline.errors import DiloError

XML = """<annotation><folder>n01</folder><filename>{name}</filename>
<size><width>{width}</width><height>50</height><depth>3</depth></size>
<object><name>n01</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
</object><object><name>n01</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>6</xmax><ymax>7</ymax>
</bndbox></object></annotation>"""


@pytest.mark.parametrize("head", ["", "path,x0,y0,x1,y1\n", "\ufeffpath,x0,y0,x1,y1\n"])
def test_lines_of_one_image_are_gathered_whatever_the_head(tmp_path, head):
    file = tmp_path / "boxes.csv"
    file.write_text(f"{head}a/1.jpg,0,1,2,3\nb.v2,1,1,1,1\n\na/1.JPG,4,5,6.5,7\n", "utf-8")
    assert read_annotations(file) == {
        "a/1": Annotation([(0, 1, 2, 3), (4, 5, 6.5, 7)], None),
        "b.v2": Annotation([(1, 1, 1, 1)], None),
    }


def test_xml_is_read_at_any_depth_with_the_size_it_was_drawn_on(tmp_path):
    (tmp_path / "n01").mkdir()
    (tmp_path / "n01" / "n01_7.xml").write_text(XML.format(name="n01_7", width=100))
    (tmp_path / "val_1.xml").write_text(XML.format(name="val_1", width=0))
    (tmp_path / "none.xml").write_text("<annotation></annotation>")
    boxes = [(1, 2, 30, 40), (5, 5, 6, 7)]
    assert read_annotations(tmp_path) == {
        "n01/n01_7": Annotation(boxes, (100, 50), [False, False], first=1),
        "none": Annotation([], None, [], first=1),
        "val_1": Annotation(boxes, None, [False, False], first=1),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg,1,2,3", "line 2: must be path,x0,y0,x1,y1, got a.jpg,1,2,3"),
        ("a.jpg,1,2,3,x", "line 2: a coordinate must be a number, got 'x'"),
        ("a.jpg,1,2,3,nan", "line 2: a coordinate must be a number, got 'nan'"),
        ("a.jpg,5,2,3,4", "line 2: a box must have 0 <= x0 <= x1"),
        ("a.jpg,-1,2,3,4", "line 2: a box must have 0 <= x0 <= x1"),
    ],
)
def test_a_line_that_is_no_box_is_named(tmp_path, line, words):
    file = tmp_path / "boxes.csv"
    file.write_text(f"b.jpg,0,0,1,1\n{line}\n")
    with pytest.raises(DiloError, match=words):
        read_annotations(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<annotation><object>", "x.xml must be an annotation in the format of PASCAL VOC, got: "),
        (XML.format(name="x", width="wide"), "got: a coordinate must be a number, got 'wide'"),
        ("<a><object><bndbox/></object></a>", "got: line 1: a coordinate must be a number, got ''"),
    ],
)
def test_a_file_that_is_no_annotation_is_named(tmp_path, content, words):
    (tmp_path / "x.xml").write_text(content)
    with pytest.raises(DiloError, match=words):
        read_annotations(tmp_path)


def test_what_holds_no_box_is_refused(tmp_path):
    with pytest.raises(DiloError, match="must hold XML files, got none"):
        read_annotations(tmp_path)
    (tmp_path / "a.csv").write_text("path,x0,y0,x1,y1\n")
    with pytest.raises(DiloError, match="must hold lines path,x0,y0,x1,y1, got none"):
        read_annotations(tmp_path / "a.csv")
    (tmp_path / "a.json").write_text('{"images": [], "categories": [], "annotations": []}')
    with pytest.raises(DiloError, match="must hold images, got none"):
        read_annotations(tmp_path / "a.json")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe,0,0,1,1\n")
    with pytest.raises(DiloError, match="must be text in UTF-8"):
        read_annotations(tmp_path / "b.csv")


def test_pipes_devices_and_boxes_without_end_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.csv"):
        with pytest.raises(DiloError, match=f"--boxes .*{name} must be a regular file, got a pipe"):
            read_annotations(tmp_path / name)
    with (tmp_path / "hole.csv").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DiloError, match=r"hole.csv must have at most 1073741824 bytes"):
        read_annotations(tmp_path / "hole.csv")
    (tmp_path / "long.csv").write_text("a,0,0,1,1\n" + "x" * 200_000 + "\n")
    with pytest.raises(DiloError, match="line 2: field larger than field limit"):
        read_annotations(tmp_path / "long.csv")


@pytest.mark.parametrize(
    "text",
    [
        "<a>" * 20_000,
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'>"
        + "".join(f"<!ENTITY b{i} '{f'&b{i - 1 or str()};' * 10}'>" for i in range(1, 12))
        + "]><annotation>&b11;</annotation>",
    ],
    ids=["deep", "entities"],
)
def test_xml_that_would_fill_the_memory_is_refused_by_name(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DiloError, match=r"a.xml must be an annotation in the format of PASCAL VOC"):
        read_annotations(tmp_path)


def test_masks_say_the_size_of_an_image_with_height_and_width_exchanged_as_maskcut_s(tmp_path):
    runs = {"size": [50, 100], "counts": "x"}  # of an image that is listed as 50 px wide
    objects = [
        {"image_id": number, "category_id": 3, "bbox": [60, 10, 30, 20], "segmentation": runs}
        for number in (1, 2)
    ]
    sizes = ({"height": 100, "width": 50}, {"height": 50, "width": 100})
    _, file = write_coco(tmp_path, objects, count=2)
    content = json.loads(file.read_text())
    for entry, size in zip(content["images"], sizes, strict=True):
        entry |= size
    file.write_text(json.dumps(content))
    expected = Annotation([(60, 10, 89, 29)], (100, 50))
    assert read_annotations(file) == {"1": expected, "2": expected}


def test_a_size_with_height_and_width_exchanged_is_refused_and_one_of_a_copy_is_not():
    annotation = Annotation([(0, 0, 9, 9)], (500, 375))
    for shape in ((375, 500), (48, 64, 3), (64, 64), (47, 64)):  # as it is, smaller, squashed
        assert annotation.size_for(shape) == (500, 375)
    assert Annotation([], None).size_for((3, 4)) == (4, 3)
    with pytest.raises(
        DiloError, match=r"375 x 500 px, or of its prop.*got 500 x 375, with height"
    ):
        annotation.size_for((500, 375))
