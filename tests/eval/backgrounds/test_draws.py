"""Whose background a foreground gets: of the right class, not its own, the same again."""

import numpy as np
import pytest

from dilo.eval.backgrounds.draws import MIXED, BackgroundDonors
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names

COUNT, CLASSES = 200, 4
NAMES = Names(f"c{i % CLASSES}/{i}.png" for i in range(COUNT))
LABELS = np.arange(COUNT) % CLASSES


def donors(seed=0, usable=None):
    return BackgroundDonors.of(NAMES, LABELS, np.arange(COUNT) if usable is None else usable, seed)


def test_the_background_is_of_its_own_class_of_any_or_of_the_next():
    drawn = donors()
    for position in range(COUNT):
        label = LABELS[position]
        assert drawn.background_class(position, "mixed_same") == label
        assert drawn.background_class(position, "mixed_next") == (label + 1) % CLASSES
    background_labels = [
        drawn.background_class(position, "mixed_rand") for position in range(COUNT)
    ]
    counts = np.bincount(background_labels, minlength=CLASSES)
    # Each of four classes as likely: 50 of 200, with a deviation of 6.1.
    assert (abs(counts - 50) < 4 * 6.2).all()
    assert sum(b == label for b, label in zip(background_labels, LABELS, strict=True)) > 20


@pytest.mark.parametrize("kind", MIXED)
def test_every_other_image_of_the_class_is_tried_once(kind):
    drawn = donors()
    for position in (0, 7, 199):
        background_labels = drawn.background_class(position, kind)
        expected = [i for i in range(COUNT) if LABELS[i] == background_labels and i != position]
        assert sorted(drawn.order(position, kind).tolist()) == expected


def test_a_draw_depends_on_the_seed_and_the_path_and_on_no_other_image():
    first = [donors().order(position, "mixed_same").tolist() for position in range(20)]
    assert first == [donors().order(position, "mixed_same").tolist() for position in range(20)]
    other = [donors(seed=1).order(position, "mixed_same").tolist() for position in range(20)]
    assert all(a != b for a, b in zip(first, other, strict=True))
    # The same image in another place of a longer list, among the same donors.
    longer = Names(["c0/new.png", *NAMES])
    moved = BackgroundDonors.of(longer, np.concatenate([[0], LABELS]), np.arange(COUNT) + 1, 0)
    assert first == [(moved.order(p + 1, "mixed_same") - 1).tolist() for p in range(20)]


def test_classes_without_a_donor_are_passed_over():
    drawn = donors(usable=np.flatnonzero(LABELS != 1))
    assert {drawn.background_class(p, "mixed_next") for p in range(0, COUNT, CLASSES)} == {2}
    assert {drawn.background_class(p, "mixed_rand") for p in range(0, COUNT, CLASSES)} == {0, 2, 3}


def test_one_class_has_no_other_background():
    with pytest.raises(DiloError, match="at least 2 classes, got 1 with images"):
        donors(usable=np.flatnonzero(LABELS == 1))
