"""VOC's average precision: detectron2's numbers, the rule read literally, and the odd cases."""

import numpy as np
import pytest
from support.detection import annotated, equal_to_truth, golden_voc, set_of

from dilo.eval.detect.detections import Detections
from dilo.eval.detect.voc_data import VOC_CLASSES
from dilo.eval.detect.voc_metric import OVERLAPS, voc_scores

#: What VOC's files add to corners that are counted from 0.
FROM_ONE = np.array([1.0, 1.0, 0.0, 0.0])


def literal_precision(images, found, label, overlap, *, points):
    """Read the rule as the devkit writes it: detection by detection, object by object."""
    detections = sorted(
        (
            (-float(score), place, number)
            for place, one in enumerate(found)
            for number, score in enumerate(one.scores)
            if one.labels[number] == label
        ),
        key=lambda one: one[0],
    )
    taken = {}
    count = sum(
        not hard
        for image in images
        for hard, of in zip(image.difficult, image.labels, strict=True)
        if of == label
    )
    right, wrong = [], []
    for _, place, number in detections:
        x0, y0, x1, y1 = (found[place].boxes[number] + FROM_ONE).tolist()
        best, best_object = -np.inf, None
        for at, (box, of) in enumerate(zip(images[place].boxes, images[place].labels, strict=True)):
            if of != label:
                continue
            a0, b0, a1, b1 = (box + FROM_ONE).tolist()
            across = max(min(x1, a1) - max(x0, a0) + 1, 0)
            down = max(min(y1, b1) - max(y0, b0) + 1, 0)
            area = (x1 - x0 + 1) * (y1 - y0 + 1) + (a1 - a0 + 1) * (b1 - b0 + 1) - across * down
            if across * down / area > best:
                best, best_object = across * down / area, at
        if best > overlap and images[place].difficult[best_object]:
            verdict = (0, 0)
        elif best > overlap and (place, best_object) not in taken:
            taken[place, best_object] = True
            verdict = (1, 0)
        else:
            verdict = (0, 1)
        right.append(verdict[0])
        wrong.append(verdict[1])
    curve = [
        (hits / count, hits / max(hits + misses, 1e-12))
        for hits, misses in zip(np.cumsum(right), np.cumsum(wrong), strict=True)
    ]
    if points:
        steps = [max((p for r, p in curve if r >= t), default=0) for t in np.arange(0, 1.1, 0.1)]
        return sum(steps) / 11
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(p for _, p in curve[place:])
        before = recall
    return area


@pytest.mark.parametrize("place", range(5))
def test_real_detections_score_what_detectron2_says_to_the_last_digit(place):
    sets, found, arrays = golden_voc()
    name, data = list(sets.items())[place]
    scores = voc_scores(data, found)
    means = [np.nan if v is None else v for v in scores.numbers.values()]
    np.testing.assert_allclose(means, arrays["means"][place], rtol=1e-13, err_msg=name)
    per_class = [scores.per_class[c]["AP50"] for c in VOC_CLASSES]
    per_class = np.array([np.nan if v is None else v for v in per_class])
    np.testing.assert_allclose(per_class, arrays["per_class_ap50"][place], atol=6e-7, err_msg=name)


@pytest.mark.parametrize("rule", ["11 points", "area"])
@pytest.mark.parametrize("seed", range(4))
def test_random_detections_score_as_the_rule_read_literally(seed, rule):
    rng = np.random.default_rng(seed)
    images, found = [], []
    for number in range(6):
        corner = rng.integers(0, 40, (5, 2))
        boxes = np.concatenate([corner, corner + rng.integers(1, 30, (5, 2))], axis=1)
        labels = rng.integers(0, 2, 5)
        images.append(annotated(number, boxes, labels, rng.random(5) < 0.25))
        near = boxes[rng.integers(0, 5, 12)] + rng.integers(-3, 4, (12, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        scores = np.round(rng.random(12), 1)  # with ties
        labels = rng.integers(0, 2, 12)
        found.append(Detections(number, near.astype(np.float32), scores, labels))
    scores = voc_scores(set_of(images, rule=rule), found)
    for label in (0, 1):
        expected = [
            100 * literal_precision(images, found, label, o / 100, points=rule == "11 points")
            for o in OVERLAPS
        ]
        numbers = scores.per_class[VOC_CLASSES[label]]
        assert numbers["AP"] == pytest.approx(np.mean(expected), abs=1e-9)
        assert numbers["AP50"] == pytest.approx(expected[0], abs=1e-9)
        assert numbers["AP75"] == pytest.approx(expected[5], abs=1e-9)


@pytest.mark.parametrize("rule", ["11 points", "area"])
def test_detections_equal_to_the_truth_score_100(rule):
    rng = np.random.default_rng(0)
    images = []
    for number in range(20):
        corner = rng.integers(0, 40, (6, 2))
        boxes = np.concatenate([corner, corner + rng.integers(5, 30, (6, 2))], axis=1)
        images.append(annotated(number, boxes, rng.permutation(20)[:6]))
    data = set_of(images, rule=rule)
    assert len(np.unique(np.concatenate([image.labels for image in images]))) == 20
    numbers = voc_scores(data, equal_to_truth(data)).numbers
    assert list(numbers.values()) == pytest.approx([100, 100, 100])


def person_precision(image, boxes):
    scores = np.linspace(0.9, 0.5, len(boxes))
    found = Detections("a", np.array(boxes, np.float32), scores, np.full(len(boxes), 14))
    return voc_scores(set_of([image]), [found]).per_class["person"]["AP50"]


def test_a_second_detection_of_an_object_is_wrong_and_that_of_a_difficult_one_is_nothing():
    first, second, hard = (0, 0, 10, 10), (20, 20, 30, 30), (30, 30, 50, 50)
    image = annotated("a", [first, second, hard], [14, 14, 14], [False, False, True])
    assert person_precision(image, [first, second]) == pytest.approx(100)
    assert person_precision(image, [hard, first, hard, second]) == pytest.approx(100)
    # Precision is 1 up to a recall of 0.5, which 6 of 11 points have, and then 2 / 3.
    assert person_precision(image, [first, first, second]) == pytest.approx(
        100 * (6 + 5 * 2 / 3) / 11
    )


def test_the_overlap_must_be_above_the_threshold_not_at_it():
    image = annotated("a", [(0, 0, 10, 10)], [0])
    half = Detections("a", np.array([[0, 0, 5, 10]]), np.ones(1), np.zeros(1, np.int64))
    assert voc_scores(set_of([image]), [half]).per_class["aeroplane"]["AP50"] == 0.0


def test_a_class_without_an_object_counts_as_0_by_points_and_leaves_no_mean_by_area():
    image = annotated("a", [(0, 0, 10, 10)], [0])
    by_points = voc_scores(set_of([image]), equal_to_truth(set_of([image])))
    assert by_points.numbers["AP"] == pytest.approx(5.0)
    assert by_points.remarks == (
        "classes without an object to be found: bicycle, bird, boat and 16 more; each counts as 0 "
        "in every mean",
    )
    by_area = voc_scores(set_of([image], rule="area"), equal_to_truth(set_of([image])))
    assert by_area.numbers == {"AP": None, "AP50": None, "AP75": None}
    assert by_area.per_class["aeroplane"]["AP"] == pytest.approx(100.0)


def test_nothing_found_scores_0_and_images_without_detections_may_be_left_out():
    image = annotated("a", [(0, 0, 10, 10)], [0])
    for found in ([], [Detections("a", np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))]):
        assert set(voc_scores(set_of([image]), found).numbers.values()) == {0.0}
