"""Maps against the objects of their images: one image, and all in batches and processes."""

import numpy as np
import pytest
from support.classifiers import small_classifier
from support.located import write_objects

from dilo.eval.attribution.heatmaps import normalized
from dilo.eval.common.pairing import find_images_of_truth, open_masks
from dilo.eval.localize.baselines import center_map, random_map
from dilo.eval.localize.boxes import components
from dilo.eval.localize.ground_truth import Dataset, MaskTruth, Objects, Sample
from dilo.eval.localize.measures import energy_inside
from dilo.eval.localize.networks import ClassifierMaps
from dilo.eval.localize.score import MethodScores, class_mean, maps_of, score_map
from dilo.eval.localize.scoring import computed_maps, score_all
from dilo.pipeline.errors import DiloError

MASK = np.zeros((40, 40), bool)
MASK[5:25, 10:35] = True
OBJECTS = Objects(MASK, components(MASK)[0])


def sample(path="a/1.jpg", stored=()):
    return Sample("a/1", path, (40, 40), np.zeros((40, 40, 3), np.uint8), OBJECTS, stored)


def test_a_perfect_map_is_right_in_everything():
    found = score_map(MASK.astype(np.uint8) * 9, OBJECTS)
    assert (found.energy, found.pointing, found.overlap, found.constant) == (1, 1, 1, False)
    assert found.box.tolist() == [[10, 5, 34, 24]]
    assert found.right.all()
    assert found.pixels[0, 1000] == MASK.sum()
    assert found.pixels[1, 0] == (~MASK).sum()


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_map_that_says_nothing_finds_nothing(value):
    saliency = np.full((40, 40), value)
    found = score_map(saliency, OBJECTS)
    assert (found.energy, found.overlap, found.constant, len(found.box)) == (0, 0, True, 0)
    near = np.zeros((40, 40), bool)
    for r, c in np.ndindex(40, 40):
        away = max(5 - r, r - 24, 0) ** 2 + max(10 - c, c - 34, 0) ** 2
        near[r, c] = away <= (15 * 40 / 224) ** 2
    assert found.pointing == near.mean()
    assert not found.right.any()
    assert found.pixels[:, 0].tolist() == [MASK.sum(), (~MASK).sum()]


def test_the_rows_are_networks_folders_and_the_two_baselines():
    computed = np.stack([np.full((40, 40), i, np.float32) for i in (1, 2)])
    stored = np.full((40, 40), 3, np.uint8)
    maps = maps_of(sample(stored=[stored]), computed)
    assert [part.flat[0] for part in maps[:3]] == [1, 2, 3]
    assert np.array_equal(maps[3], center_map(40))
    assert np.array_equal(maps[4], random_map("a/1.jpg", 40))


def test_the_random_baseline_has_the_object_s_share_of_energy_on_average():
    maps = [normalized(random_map(f"{i}.jpg", 40)) for i in range(300)]
    energies = [energy_inside(saliency, MASK) for saliency in maps]
    spread = np.std(energies) / np.sqrt(300)
    assert abs(np.mean(energies) - MASK.mean()) < 5 * spread
    assert spread < 0.02


def test_the_center_baseline_finds_what_is_in_the_middle():
    middle = np.zeros((40, 40), bool)
    middle[10:30, 10:30] = True
    found = score_map(center_map(40), Objects(middle, components(middle)[0]))
    assert found.pointing == 1
    assert found.energy > 2 * middle.mean() * 0.9
    assert found.right.any(axis=1).all()


def test_images_are_summed_and_ranked_by_overlap_then_energy():
    score = MethodScores()
    for shift in (20, 0, 3, 25):
        score.add(score_map(np.roll(MASK, (shift, 0), (0, 1)).astype(float), OBJECTS))
    score.add(score_map(np.zeros((40, 40)), OBJECTS))
    assert score.constant == [False] * 4 + [True]
    assert score.right.shape == (4, 255)
    assert score.right[0].tolist() == [2] * 255
    assert score.pixels.sum() == 5 * 1600
    assert score.overlap[1] > score.overlap[2] > score.overlap[0]
    assert score.order()[:2] == [1, 2]
    assert score.order()[-1] == 4


def test_a_class_counts_the_same_however_many_images_it_has():
    assert class_mean([1, 1, 1, 0], ["ant", "ant", "ant", "bee"]) == 0.5
    assert class_mean([1, 0, 1], ["ant", "bee", "ant"]) == 0.5


@pytest.mark.parametrize(
    ("side", "away", "hit"), [(48, 3, 1), (48, 4, 0), (224, 15, 1), (224, 16, 0)]
)
def test_pointing_forgives_the_same_share_of_the_side_at_any_size(side, away, hit):
    mask = np.zeros((side, side), bool)
    mask[:, :5] = True
    saliency = np.zeros((side, side))
    saliency[side // 2, 4 + away] = 1
    assert score_map(saliency, Objects(mask, components(mask)[0])).pointing == hit


def test_at_48_px_the_middle_does_not_hit_an_object_in_a_corner():
    mask = np.zeros((48, 48), bool)
    mask[:14, :14] = True  # 15 px from it would be the middle
    found = score_map(center_map(48), Objects(mask, components(mask)[0]))
    assert found.pointing == 0


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


def test_a_row_a_map_and_two_baselines_on_every_image(dataset, network):
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


def test_an_image_that_cannot_be_read_is_skipped_of_all_rows(dataset, tmp_path, network):
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
