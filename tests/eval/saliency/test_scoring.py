"""Scores of all images: the measures of each, whoever computes them."""

import numpy as np
import pytest
from PIL import Image
from support.maps import SHAPES, disc, save, write_maps
from support.runs import photographs_and_masks

from dilo.eval.common.pairing import PngFolder, open_masks
from dilo.eval.saliency import scoring as module
from dilo.eval.saliency.measures import measure
from dilo.eval.saliency.scoring import score
from dilo.pipeline.errors import DiloError


@pytest.fixture
def maps(tmp_path):
    return write_maps(tmp_path)


def scored(root, *names, jobs=1):
    truth = PngFolder(root / "truth", "--truth")
    methods = [open_masks(name, root / name, truth.keys) for name in names]
    done = []
    scores = score(methods, truth, truth.keys, jobs=jobs, progress=done.append)
    assert sum(done) == len(truth.keys)
    return scores


def test_each_row_is_the_measure_of_that_image(maps):
    good, bad = scored(maps, "good", "bad")
    assert (good.name, bad.name) == ("good", "bad")
    for found, name in ((good, "good"), (bad, "bad")):
        assert found.images == ["a/0", "a/1", "a/2", "a/3"]
        for row, image in enumerate(found.images):
            truth = np.asarray(Image.open(maps / "truth" / f"{image}.png")) > 128
            expected = measure(np.asarray(Image.open(maps / name / f"{image}.png")), truth)
            assert np.array_equal(found.f[row], expected.f)
            assert np.array_equal(found.e[row], expected.e)
            assert found.mae[row] == expected.mae
            assert found.weighted_f[row] == expected.weighted_f
    assert good.mae[0] == 0
    assert np.all(bad.mae == 1)


def test_workers_and_blocks_change_nothing(maps, monkeypatch):
    (one,) = scored(maps, "good")
    monkeypatch.setattr(module, "BLOCK", 1)
    (two,) = scored(maps, "good", jobs=2)
    for name in ("precision", "recall", "f", "e", "mae", "s_measure", "weighted_f", "adaptive_e"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_a_png_of_another_size_is_resized_and_counted(maps):
    for number in (1, 3):
        path = maps / "good" / "a" / f"{number}.png"
        Image.open(path).resize((50, 50)).save(path)
    good, bad = scored(maps, "good", "bad")
    assert (good.resized, bad.resized) == (2, 0)


def test_a_stored_mask_is_stretched_to_its_truth_as_it_was_squashed(tmp_path):
    _, store = photographs_and_masks(tmp_path, 3)
    for number, folder in enumerate(("class0", "class1", "class0")):
        save(tmp_path / "truth" / folder / f"00{number}.png", disc((50, 60), 12))
    (found,) = scored(tmp_path, "masks")
    truth = PngFolder(tmp_path / "truth", "--truth")
    mask = open_masks("masks", store, truth.keys).source.read("class1/001")
    stretched = np.asarray(Image.fromarray(mask).resize((60, 50), Image.Resampling.BILINEAR))
    expected = measure(stretched, truth.read_truth("class1/001"))
    assert found.mae[found.images.index("class1/001")] == expected.mae
    assert found.resized == 0  # a square is no surprise
    assert found.failed == []


def test_a_truth_of_other_proportions_than_the_image_of_a_stored_mask_is_refused(tmp_path):
    photographs_and_masks(tmp_path, 1)
    save(tmp_path / "truth" / "class0" / "000.png", disc((60, 50), 12))  # turned
    with pytest.raises(DiloError, match=r"class0/000 must have the proportions .* got 60 x 50"):
        scored(tmp_path, "masks")


def test_truth_is_what_is_above_128(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 127, 128, 129, 255]], np.uint8))
    truth = PngFolder(tmp_path, "--truth").read_truth("a")
    assert truth.tolist() == [[False, False, False, True, True]]


def test_truths_of_0_and_1_score_as_those_of_0_and_255_do(maps):
    (expected,) = scored(maps, "good")
    for path in (maps / "truth").rglob("*.png"):
        save(path, np.asarray(Image.open(path)) // 255)
    (found,) = scored(maps, "good")
    assert np.array_equal(found.f, expected.f)
    assert np.array_equal(found.mae, expected.mae)


def test_truths_that_are_all_black_are_refused(maps):
    for number, shape in enumerate(SHAPES):
        save(maps / "truth" / "a" / f"{number}.png", np.zeros(shape, np.uint8))
    with pytest.raises(DiloError, match=r"must be white \(above 128 of 255\) .* all are black"):
        scored(maps, "good")


def test_a_mask_of_other_proportions_than_its_truth_is_refused_by_its_name(maps):
    path = maps / "good" / "a" / "1.png"
    turned = np.asarray(Image.open(path)).T
    assert turned.shape[0] != turned.shape[1]
    save(path, np.ascontiguousarray(turned))
    with pytest.raises(DiloError, match=r"good: a/1 must have the proportions of its ground truth"):
        scored(maps, "good")


def test_a_dead_worker_ends_in_a_sentence(maps, monkeypatch):
    class Dying:
        def __init__(self, **_):
            pass

        def __call__(self, _):
            raise module.TerminatedWorkerError("killed")

    monkeypatch.setattr(module.joblib, "Parallel", Dying)
    with pytest.raises(DiloError, match=r"a worker process died.* give fewer --workers"):
        scored(maps, "good")
