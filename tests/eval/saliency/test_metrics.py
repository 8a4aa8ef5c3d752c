"""The numbers of a method, each by its convention; together, those of ECSSD's released maps."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from support.golden import golden_arrays
from support.scores import made_of

from dilo.eval.saliency.measures import TRUTH_ABOVE, normalised
from dilo.eval.saliency.metrics import METRICS, benchmark_f
from dilo.pipeline.saliency.measures import counts, e_measure, f_measure, precision, recall

ECSSD = Path(__file__).resolve().parents[4] / "shared" / "data" / "ecssd-dev"


def value(key, score):
    return next(number for number in METRICS if number.key == key).value(score)


def test_the_two_max_f_differ_where_the_images_differ():
    p, r = np.zeros((2, 256)), np.zeros((2, 256))
    p[0, 10], r[0, 10] = 1.0, 1.0  # a perfect cut at 10, and one at 20
    p[1, 20], r[1, 20] = 1.0, 1.0
    r[1, 10] = 1.0
    score = made_of(precision=p, recall=r, f=f_measure(p, r))
    assert value("max_f_benchmark", score) == pytest.approx(1.3 * 0.5 * 1 / (0.3 * 0.5 + 1))
    assert value("max_f_per_image", score) == pytest.approx(0.5)
    assert value("mean_f", score) == pytest.approx(2 / 512)


def test_e_has_its_maximum_of_the_mean_and_its_mean():
    e = np.zeros((2, 256))
    e[0, 3], e[1, 4], e[:, 5] = 1.0, 0.8, 0.6
    score = made_of(e=e)
    assert value("e_measure_max", score) == pytest.approx(0.6)
    assert value("e_measure_mean", score) == pytest.approx((1.0 + 0.8 + 1.2) / 512)


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("adaptive_f", "adaptive_f"),
        ("weighted_f", "weighted_f"),
        ("iou", "iou"),
        ("mae", "mae"),
        ("s_measure", "s_measure"),
        ("e_measure_adaptive", "adaptive_e"),
    ],
)
def test_the_others_are_means_over_images(key, column):
    assert value(key, made_of(**{column: np.array([0.2, 0.5, 0.8])})) == pytest.approx(0.5)


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD beside the checkout")
@pytest.mark.parametrize(
    ("method", "max_f", "mae"), [("rbd", 0.719, 0.169), ("gs", 0.649, 0.208), ("mc", 0.732, 0.204)]
)
def test_released_maps_of_ecssd_score_what_is_known_of_them(method, max_f, mae):
    golden = golden_arrays("sod-ecssd")
    rows = []
    for image in golden["images"]:
        mask = np.asarray(Image.open(ECSSD / "oracle" / method / f"{image}.png"))
        truth = np.asarray(Image.open(ECSSD / "masks" / f"{image}.png")) > TRUTH_ABOVE
        saliency = normalised(mask)
        counted = counts(saliency, truth)
        p, r = precision(counted), recall(counted)
        rows.append((p, r, f_measure(p, r), e_measure(counted), np.abs(saliency - truth).mean()))
    p, r, f, e, errors = (np.array(column) for column in zip(*rows, strict=True))
    score = made_of(precision=p, recall=r, f=f, e=e, mae=errors)
    assert round(value("max_f_benchmark", score), 3) == max_f
    assert round(value("mae", score), 3) == mae
    mean = {
        name: golden[f"{method}/{name}/mean_curve"] for name in ("precision", "recall", "f", "e")
    }
    assert_allclose(benchmark_f(score), f_measure(mean["precision"], mean["recall"]), atol=1e-6)
    assert value("max_f_per_image", score) == pytest.approx(mean["f"].max(), abs=1e-6)
    assert value("mean_f", score) == pytest.approx(mean["f"].mean(), abs=1e-6)
    assert value("e_measure_max", score) == pytest.approx(mean["e"].max(), abs=1e-6)
    assert value("e_measure_mean", score) == pytest.approx(mean["e"].mean(), abs=1e-6)
