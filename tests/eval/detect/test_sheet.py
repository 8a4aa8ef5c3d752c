"""The sheet of best, median and worst images."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools.mask import encode
from support.detection import HEIGHT, WIDTH, annotated, equal_to_truth, save_noise, set_of

from dilo.eval.detect.detections import Detections
from dilo.eval.detect.sheet import CELL, FOUND, TRUE, image_precision, write_sheet


def found_on(image, boxes, labels):
    scores = np.linspace(0.9, 0.6, len(labels))
    return Detections(image.image_id, np.array(boxes, np.float32), scores, np.array(labels))


def test_an_image_scores_by_all_of_its_detections_in_one_order():
    image = annotated("a", [(0, 0, 20, 20), (30, 30, 50, 50)], [0, 1])
    both = [(0, 0, 20, 20), (30, 30, 50, 50)]
    assert image_precision(image, found_on(image, both, [0, 1])) == pytest.approx(100)
    assert image_precision(image, found_on(image, both[:1], [0])) == pytest.approx(50)
    # A box of the wrong class that is scored highest halves the precision of what follows.
    assert image_precision(image, found_on(image, [both[1], both[0]], [0, 0])) == pytest.approx(25)
    assert image_precision(image, found_on(image, np.zeros((0, 4)), [])) == 0.0


def test_difficult_objects_and_crowds_are_neither_found_nor_missed():
    image = annotated("a", [(0, 0, 20, 20), (30, 30, 50, 50)], [0, 0], [False, True])
    boxes = [(30, 30, 50, 50), (0, 0, 20, 20)]
    assert image_precision(image, found_on(image, boxes, [0, 0])) == pytest.approx(100)
    crowd = replace(image, difficult=np.zeros(2, bool), crowd=np.array([False, True]))
    assert image_precision(crowd, found_on(crowd, boxes, [0, 0])) == pytest.approx(100)
    nothing = replace(image, difficult=np.ones(2, bool))
    assert image_precision(nothing, found_on(nothing, boxes, [0, 0])) == 0.0


def images_in(folder, count):
    for number in range(count):
        save_noise(folder / f"{number}.jpg")
        yield replace(
            annotated(number, [(10, 10, 50, 40)], [number]), path=folder / f"{number}.jpg"
        )


def test_true_boxes_are_green_and_found_ones_orange_best_images_first(tmp_path):
    data = set_of(list(images_in(tmp_path, 7)))
    found = equal_to_truth(data)
    found[0] = replace(found[0], boxes=found[0].boxes + np.float32(25))
    write_sheet(tmp_path / "sheet.png", data, found)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    height = round(CELL * HEIGHT / WIDTH)
    assert pixels.shape[1] > 6 * CELL
    line = 4 + round(40 * CELL / WIDTH)  # the lower side of the box, in the first row
    left, right = pixels[line - 4 : line + 4, 4 : CELL + 4], pixels[line - 4 : line + 4, CELL + 8 :]
    assert (left == TRUE).all(-1).any()
    assert not (left == FOUND).all(-1).any()
    assert (right[:, :CELL] == FOUND).all(-1).any()
    last = pixels[-height:, -CELL:]  # of the worst, whose box lies elsewhere
    assert (last == FOUND).all(-1).any()


def test_masks_are_painted_and_images_that_cannot_be_read_say_why(tmp_path):
    one, other = images_in(tmp_path, 2)
    outline = np.array([10.0, 10, 50, 10, 50, 40, 10, 40])
    one = replace(one, segmentation=((outline, outline[:4]),))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, "F")
    mask[10:40, 10:50] = 1
    lengths = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
    data = set_of([one, replace(other, path=tmp_path / "gone.jpg", segmentation=(lengths,))])
    found = [replace(each, masks=(encode(mask),)) for each in equal_to_truth(data)]
    write_sheet(tmp_path / "masks.png", data, found)
    plain = set_of([replace(image, segmentation=None) for image in data.images])
    write_sheet(tmp_path / "plain.png", plain, equal_to_truth(plain))
    masked, bare = (
        np.asarray(Image.open(tmp_path / f"{name}.png"), np.int64) for name in ("masks", "plain")
    )
    assert masked.shape == bare.shape
    assert 0.02 < (masked != bare).any(-1).mean() < 0.5


def test_a_sheet_of_nothing_found_is_drawn(tmp_path):
    data = set_of(list(images_in(tmp_path, 1)))
    write_sheet(tmp_path / "sheet.png", data, [])
    assert (tmp_path / "sheet.png").stat().st_size > 1000
