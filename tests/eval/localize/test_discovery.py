"""Object discovery: boxes of masks and features by the rule of LOST."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from support.cli import invoke
from support.detection import save_noise, voc_xml, write_coco, write_voc
from support.located import write_objects
from torchvision.models import resnet18

from dilo.eval.cli import main
from dilo.eval.localize.annotations import Annotation, read_annotations
from dilo.eval.localize.discovery import true_sides

EASY = ("cat", 11, 11, 50, 40, "<truncated>0</truncated><difficult>0</difficult>")
HARD = ("dog", 1, 1, 80, 60, "<truncated>1</truncated><difficult>0</difficult>")


@pytest.fixture(name="voc")
def _voc(tmp_path):
    """Three images: a cat, a cat and a truncated dog, the dog alone; masks of the cat."""
    folder = write_voc(tmp_path, {"1": [EASY], "2": [EASY, HARD], "3": [HARD]})
    (tmp_path / "masks").mkdir()
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 10:50] = 255
    mask[50:53, 70:73] = 255  # a smaller component
    for name in ("1", "2", "3"):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    return folder


def discover(folder, *more, status=0):
    usual = ["--discovery", "--images", folder / "JPEGImages", "--device", "cpu", "--workers", 0]
    if "--boxes" not in more:
        usual += ["--boxes", folder / "Annotations"]
    return invoke(main, "localize", *usual, *more, status=status)


def rows_of(result):
    return {row["name"]: row for row in json.loads(result.stdout)["methods"]}


def test_the_box_of_a_mask_is_that_of_its_largest_component(voc, tmp_path):
    result = discover(voc, "--maps", f"cat={tmp_path}/masks", "--out", tmp_path / "out", "--json")
    rows = rows_of(result)
    assert rows["cat"]["numbers"]["corloc"] == pytest.approx(200 / 3)
    assert rows["cat"]["numbers"]["overlap"] == pytest.approx(100 * (1 + 1 + 0.25) / 3)
    assert rows["baseline: whole image"]["numbers"]["corloc"] == pytest.approx(200 / 3)
    lines = (tmp_path / "out" / "per-image.csv").read_text().splitlines()
    assert lines[:2] == [
        "found by,image,x0,y0,x1,y1,iou",
        "cat,1.jpg,10.000000,10.000000,50.000000,40.000000,1.000000",
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("discovery.json", "table.txt", "per-image.csv", "sheet-cat.png"),
    }
    pixels = np.asarray(Image.open(tmp_path / "out" / "sheet-cat.png"))
    assert (pixels == (0, 255, 160)).all(-1).any()
    assert (pixels == (255, 120, 0)).all(-1).any()


def test_without_hard_objects_images_that_have_no_others_do_not_count(voc, tmp_path):
    result = discover(
        *(voc, "--maps", tmp_path / "masks", "--no-hard", "--no-sheets", "--json"),
        *("--out", tmp_path / "out"),
    )
    record = json.loads(result.stdout)
    assert (record["images"], record["no_hard"]) == (2, True)
    assert record["skipped"] == [{"path": "3.jpg", "reason": "no object is to be found on it"}]
    assert record["methods"][0]["numbers"] == {"corloc": 100.0, "overlap": 100.0}


def test_features_of_any_network_find_boxes_and_a_list_says_on_which_images(voc, tmp_path):
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), tmp_path / "random.pth")
    (tmp_path / "list.txt").write_text("3\n1\n")
    result = discover(
        *(voc, "--checkpoint", tmp_path / "random.pth", "--list", tmp_path / "list.txt"),
        *("--out", tmp_path / "out", "--json"),
    )
    record = json.loads(result.stdout)
    assert record["images"] == 2
    assert record["checkpoint"] == str(tmp_path / "random.pth")
    assert [row["method"] for row in record["methods"]] == ["features", "baseline", "baseline"]
    assert (tmp_path / "out" / "sheet-random.png").is_file()
    assert "2 images" in (tmp_path / "out" / "table.txt").read_text()


def test_the_same_again_takes_the_same_folder_and_other_images_another(voc, tmp_path):
    (tmp_path / "list.txt").write_text("1\n")
    usual = (voc, "--maps", tmp_path / "masks", "--no-sheets", "--out", tmp_path / "out")
    for more in ((), (), ("--list", tmp_path / "list.txt")):
        discover(*usual, *more)
    assert {path.name for path in tmp_path.glob("out*")} == {"out", "out-VOC2007"}


def test_an_image_whose_mask_is_black_counts_as_not_found(voc, tmp_path):
    Image.new("L", (80, 60)).save(tmp_path / "masks" / "1.png")
    result = discover(voc, "--maps", f"cat={tmp_path}/masks", "--out", tmp_path / "out", "--json")
    row = rows_of(result)["cat"]
    assert row["nothing_found"] == 1
    assert row["numbers"]["corloc"] == pytest.approx(100 / 3)


def test_boxes_of_coco_serve_too_without_crowds(tmp_path):
    object_, crowd = (
        {"image_id": 1, "category_id": 3, "bbox": box, "iscrowd": crowd}
        for box, crowd in (([10.4, 9.6, 40, 30.2], 0), ([0, 0, 80, 60], 1))
    )
    _, file = write_coco(tmp_path, [object_, crowd])
    annotation = read_annotations(file)["1"]
    assert annotation == Annotation([(10, 10, 49, 39)], (80, 60))
    np.testing.assert_array_equal(true_sides(annotation, (60, 80)), [[10, 10, 50, 40]])
    assert read_annotations(file)["2"].boxes == []


def test_sides_follow_the_file_s_way_to_count_and_a_smaller_copy_of_the_image(tmp_path):
    (tmp_path / "a.xml").write_text(voc_xml([("cat", 1, 1, 80, 60, "")]))
    annotation = read_annotations(tmp_path)["a"]
    np.testing.assert_array_equal(true_sides(annotation, (60, 80)), [[0, 0, 80, 60]])
    np.testing.assert_array_equal(true_sides(annotation, (30, 40)), [[0, 0, 40, 30]])
    of_csv = Annotation([(0, 0, 79, 59)], None)
    np.testing.assert_array_equal(true_sides(of_csv, (60, 80)), [[0, 0, 80, 60]])


def test_an_image_whose_boxes_are_of_it_turned_is_skipped_with_the_reason(voc, tmp_path):
    path = voc / "Annotations" / "1.xml"
    turned = path.read_text().replace("<width>80", "<width>60").replace("<height>60", "<height>80")
    path.write_text(turned)
    result = discover(voc, "--maps", f"cat={tmp_path}/masks", "--out", tmp_path / "out", "--json")
    (skipped,) = json.loads(result.stdout)["skipped"]
    assert skipped["path"] == "1.jpg"
    assert "got 60 x 80, with height and width exchanged" in skipped["reason"]


def test_a_list_that_names_an_image_without_boxes_is_refused(voc, tmp_path):
    (voc / "Annotations" / "1.xml").unlink()
    (tmp_path / "list.txt").write_text("1\n3\n")
    usual = (voc, "--maps", tmp_path / "masks", "--no-sheets", "--out", tmp_path / "out")
    words = discover(*usual, "--list", tmp_path / "list.txt", status=3).stderr
    assert (
        f"--list {tmp_path}/list.txt must name images that have boxes, got 1 without, such as 1.jpg"
    ) in words


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--no-hard"], "give --no-hard with --discovery alone"),
        (["--discovery", "--size", "64"], "give --discovery without --size and --class"),
        (["--discovery", "--class", "true"], "give --discovery without --size and --class"),
    ],
)
def test_options_that_do_not_go_together_are_refused(voc, tmp_path, more, words):
    usual = ["--images", voc / "JPEGImages", "--boxes", voc / "Annotations"]
    result = invoke(
        *(main, "localize", *usual, "--maps", tmp_path / "masks", "--out", tmp_path / "out", *more),
        status=2,
    )
    assert words in " ".join(result.stderr.split())


def test_masks_as_truth_do_not_serve(tmp_path):
    objects = write_objects(tmp_path, ("1",))
    result = invoke(
        *(
            main,
            "localize",
            "--discovery",
            "--images",
            objects / "images",
            "--truth",
            objects / "masks",
        ),
        *("--maps", objects / "perfect", "--out", tmp_path / "out"),
        status=2,
    )
    assert "give --boxes with --discovery, whose rule compares boxes" in result.stderr


def test_an_image_without_a_mask_is_an_error_unless_it_may_be(voc, tmp_path):
    (tmp_path / "masks" / "2.png").unlink()
    usual = (voc, "--maps", tmp_path / "masks", "--out", tmp_path / "out", "--json")
    words = discover(*usual, status=3).stderr
    assert "must be in --images" in words
    assert "got 1 without (2): add what is missing, give --list" in words
    record = json.loads(discover(*usual, "--allow-missing").stdout)
    assert record["images"] == 2
    assert record["skipped"] == [{"path": "2", "reason": "no image or no mask"}]


def test_masks_of_other_images_are_refused_even_where_some_may_be_missing(voc, tmp_path):
    for name in ("1", "2"):
        (tmp_path / "masks" / f"{name}.png").unlink()
        (voc / "JPEGImages" / f"{name}.jpg").rename(voc / "JPEGImages" / f"{name}-{name}.jpg")
    (voc / "JPEGImages" / "3.jpg").unlink()
    save_noise(voc / "JPEGImages" / "1.jpg")
    usual = (voc, "--maps", tmp_path / "masks", "--out", tmp_path / "out", "--allow-missing")
    words = discover(*usual, status=3).stderr
    assert "must be of at least one image in --images" in words
    assert "got none of 3: check that they are of the same images" in words


def test_a_mask_of_another_picture_and_a_broken_image_are_skipped_by_name(voc, tmp_path):
    Image.new("L", (60, 80)).save(tmp_path / "masks" / "1.png")
    (voc / "JPEGImages" / "2.jpg").write_bytes(b"none")
    result = discover(
        voc, "--maps", tmp_path / "masks", "--out", tmp_path / "out", "--no-sheets", "--json"
    )
    reasons = {image["path"]: image["reason"] for image in json.loads(result.stdout)["skipped"]}
    assert (
        "must have the image's proportions, 80 x 60, or be square, got 60 x 80"
        in (reasons["1.jpg"])
    )
    assert "2.jpg" in reasons
