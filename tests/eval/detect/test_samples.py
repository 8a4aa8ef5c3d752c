"""What a detector sees of an image: sizes, mirrors, objects."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from support.detection import HEIGHT, WIDTH, annotated, save_noise, set_of
from support.detectors import small_recipe

from dilo.eval.detect.batches import SampleKey
from dilo.eval.detect.recipe import InputRecipe
from dilo.eval.detect.samples import TestImages, TrainingImages, input_shape
from dilo.pipeline.errors import DiloError

RECIPE = small_recipe("coco-fpn-1x")
SQUARE = np.array([10.0, 10, 30, 10, 30, 40, 10, 40])


def image_with(folder, boxes, segmentation=None, crowd=None):
    path = folder / "a.png"
    save_noise(path)
    image = annotated("a", boxes, list(range(len(boxes))))
    crowds = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
    return dataclasses.replace(image, path=path, crowd=crowds, segmentation=segmentation)


def samples(image, recipe=RECIPE, count=20):
    data = TrainingImages(set_of([image]), recipe)
    return [data[SampleKey(iteration, 0, 0, 0)] for iteration in range(count)]


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((375, 500), 800, (800, 1067)),  # 1066.67 rounded
        ((500, 375), 480, (640, 480)),
        ((200, 500), 800, (533, 1333)),  # 533.2, as its long side is the longest allowed
        ((427, 640), 600, (600, 899)),  # 899.3
        ((96, 96), 800, (800, 800)),
    ],
)
def test_the_short_side_is_as_asked_and_the_long_one_within_the_limit(shape, side, expected):
    assert input_shape(shape, side, 1333) == expected


def test_a_sample_is_pillows_picture_mirrored_or_not_with_its_objects(tmp_path):
    image = image_with(tmp_path, [[10, 10, 30, 40]], ((SQUARE,),))
    picture, mirrors = Image.open(image.path), set()
    for sample in samples(image):
        height, width = sample.image.shape[1:]
        assert min(height, width) in RECIPE.data.sides
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
        expected = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        mirrored = torch.equal(sample.image, expected.flip(2))
        assert mirrored or torch.equal(sample.image, expected)
        mirrors.add(mirrored)
        across, down = width / WIDTH, height / HEIGHT
        box = [10 * across, 10 * down, 30 * across, 40 * down]
        if mirrored:
            box[0], box[2] = width - box[2], width - box[0]
        assert sample.boxes[0].tolist() == pytest.approx(box, rel=1e-6)
        corners = sample.polygons[0][0].reshape(-1, 2)
        around = [*corners.min(0), *corners.max(0)]
        assert around == pytest.approx(box, rel=1e-6)
        assert sample.labels.tolist() == [1]
    assert mirrors == {False, True}


def test_draws_are_a_function_of_seed_iteration_and_place_alone(tmp_path):
    image = image_with(tmp_path, [[10, 10, 30, 40]], ((SQUARE,),))
    first, second = samples(image), samples(image)
    assert all(torch.equal(a.image, b.image) for a, b in zip(first, second, strict=True))
    other = samples(image, dataclasses.replace(RECIPE, seed=1))
    shapes = [each.image.shape for each in first]
    assert shapes != [each.image.shape for each in other]
    assert len(set(shapes)) > 3


def test_crowds_empty_boxes_and_objects_without_an_outline_are_left_out(tmp_path):
    outlines = ((SQUARE,), {"size": [HEIGHT, WIDTH], "counts": []}, (SQUARE,), (SQUARE[:4],))
    boxes = [[10, 10, 30, 40], [0, 0, 9, 9], [5, 5, 5, 30], [10, 10, 30, 40]]
    image = image_with(tmp_path, boxes, outlines, [False, True, False, False])
    sample = samples(image, count=1)[0]
    assert sample.labels.tolist() == [1]
    assert len(sample.polygons) == 1


def test_boxes_beyond_the_image_are_cut(tmp_path):
    sample = samples(
        image_with(tmp_path, [[-5, -5, WIDTH + 9, HEIGHT + 9]]), small_recipe(), count=1
    )[0]
    height, width = sample.image.shape[1:]
    assert sample.boxes.tolist() == [[0, 0, width, height]]


def test_an_image_of_another_size_than_its_annotations_say_is_refused(tmp_path):
    image = dataclasses.replace(image_with(tmp_path, [[1, 1, 5, 5]]), width=WIDTH + 1)
    with pytest.raises(DiloError, match=r"a\.png must have the size in its annotations"):
        samples(image, small_recipe())


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    image = image_with(tmp_path, [[1, 1, 5, 5]])
    image.path.write_bytes(b"no image")
    with pytest.raises(DiloError, match=r"a\.png must be an image that can be read, got: "):
        samples(image, small_recipe())


def test_a_detector_without_masks_learns_from_boxes_whatever_the_masks_are(tmp_path):
    runs = ({"size": [HEIGHT, WIDTH], "counts": [0]}, (SQUARE[:4],))
    image = image_with(tmp_path, [[10, 10, 30, 40], [1, 1, 5, 5]], runs)
    sample = samples(image, small_recipe(), count=1)[0]
    assert sample.labels.tolist() == [1, 2]
    assert sample.polygons == ()


def test_a_test_image_has_the_size_of_evaluation(tmp_path):
    images = TestImages(set_of([image_with(tmp_path, [])]), InputRecipe(side=90, longest=100))
    number, pixels = images[0]
    assert number == 0
    assert pixels.shape == (3, 75, 100)
