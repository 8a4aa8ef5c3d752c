"""All images through all maps: in order, in batches, on any number of processes."""

import numpy as np
import pytest
from support.classifiers import small_classifier
from support.located import write_objects

from dilo.eval.common.pairing import find_images_of_truth, open_masks
from dilo.eval.localize.ground_truth import Dataset, MaskTruth
from dilo.eval.localize.networks import ClassifierMaps
from dilo.eval.localize.scoring import computed_maps, score_all
from dilo.pipeline.errors import DiloError

NAMES = ("ant/1", "ant/2", "bee/1", "bee/2", "bee/3")


@pytest.fixture
def dataset(tmp_path):
    write_objects(tmp_path, NAMES)
    truth = MaskTruth(tmp_path / "masks")
    keys = list(truth.keys)
    methods = [open_masks("perfect", tmp_path / "perfect", keys)]
    return Dataset(find_images_of_truth(tmp_path / "images", keys), truth, methods, 32)


@pytest.fixture
def network():
    return ClassifierMaps(
        "c", small_classifier(("ant", "bee")), ("cam", "gradient"), {"ant": 0, "bee": 1}, "true"
    )


def scored(dataset, networks=(), *, batch=2, workers=0):
    done = []
    found = score_all(dataset, networks, NAMES, batch=batch, workers=workers, progress=done.append)
    assert sum(done) == len(NAMES)
    return found


def test_a_row_a_map_and_two_floors_on_every_image(dataset, network):
    found = scored(dataset, [network])
    assert (list(found.keys), found.skipped) == (list(NAMES), [])
    assert [len(row.energy) for row in found.rows] == [5] * 5
    cam, gradient, perfect, center, random = found.rows
    assert perfect.overlap == [1.0] * 5
    assert max(center.overlap + random.overlap) < 1
    assert cam.predicted == gradient.predicted
    assert cam.predicted_right == [
        name.startswith(guess) for name, guess in zip(NAMES, cam.predicted, strict=True)
    ]
    assert perfect.predicted == perfect.predicted_right == []
    assert cam.overlap != gradient.overlap


def test_neither_batches_nor_processes_change_a_number(dataset, network):
    first = scored(dataset, [network], batch=5)
    second = scored(dataset, [network], batch=2, workers=2)
    for one, other in zip(first.rows, second.rows, strict=True):
        np.testing.assert_allclose(one.energy, other.energy, rtol=1e-4)
        assert np.array_equal(one.constant, other.constant)
    assert np.array_equal(first.rows[2].right, second.rows[2].right)
    assert np.array_equal(first.rows[4].pixels, second.rows[4].pixels)


def test_an_image_that_cannot_be_read_is_left_out_of_all_rows(dataset, tmp_path, network):
    (tmp_path / "images" / "bee" / "1.jpg").write_bytes(b"no picture")
    found = scored(dataset, [network])
    assert list(found.keys) == [name for name in NAMES if name != "bee/1"]
    ((path, reason),) = found.skipped
    assert path == "bee/1.jpg"
    assert reason
    assert [len(row.energy) for row in found.rows] == [4] * 5


def test_that_no_image_is_left_ends_it(dataset, tmp_path):
    for path in (tmp_path / "images").rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DiloError, match="none of 5 can, the first being ant/1"):
        scored(dataset)


def test_without_networks_there_are_no_computed_maps(dataset):
    samples = [dataset.read(name) for name in NAMES[:2]]
    assert computed_maps([], samples).shape == (2, 0, 32, 32)
