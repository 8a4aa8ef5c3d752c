"""The numbers that a method gets, each with the convention that makes it what it is."""

import numpy as np
from numpy.typing import NDArray

from dilo.eval.common.metrics import Metric
from dilo.eval.saliency.scoring import MethodScores
from dilo.pipeline.saliency.measures import f_measure


def benchmark_f(score: MethodScores) -> NDArray[np.float64]:
    """Compute F as benchmark papers do: of mean precision and mean recall.

    Parameters
    ----------
    score : MethodScores
        What a method scores.

    Returns
    -------
    ndarray of shape (256,), float64
        By threshold.
    """
    return f_measure(score.precision.mean(axis=0), score.recall.mean(axis=0))


METRICS: tuple[Metric[MethodScores], ...] = (
    Metric(
        "max_f_benchmark",
        "max F",
        "largest, over thresholds, F of mean precision and mean recall over images, as "
        "benchmark papers have it",
        lambda score: float(benchmark_f(score).max()),
    ),
    Metric(
        "max_f_per_image",
        "max F/image",
        "largest, over thresholds, mean over images of each image's F, as PySODMetrics has it",
        lambda score: float(score.f.mean(axis=0).max()),
    ),
    Metric(
        "mean_f",
        "mean F",
        "mean, over thresholds and images, of each image's F",
        lambda score: float(score.f.mean()),
    ),
    Metric(
        "adaptive_f",
        "adaptive F",
        "mean over images of F at one threshold: twice the map's mean, at most 1",
        lambda score: float(score.adaptive_f.mean()),
    ),
    Metric(
        "weighted_f",
        "weighted F",
        "mean over images of weighted F, without threshold, beta^2 = 1 (Margolin et al. 2014)",
        lambda score: float(score.weighted_f.mean()),
    ),
    Metric(
        "iou",
        "IoU",
        "mean over images of intersection over union, the mask cut at one half (t = 128)",
        lambda score: float(score.iou.mean()),
    ),
    Metric(
        "mae",
        "MAE",
        "mean over images of the mean absolute error of the soft map; the less the better",
        lambda score: float(score.mae.mean()),
    ),
    Metric(
        "s_measure",
        "S",
        "mean over images of the S-measure, without threshold, alpha = 0.5 (Fan et al. 2017)",
        lambda score: float(score.s_measure.mean()),
    ),
    Metric(
        "e_measure_max",
        "max E",
        "largest, over thresholds, mean over images of each image's E-measure (Fan et al. 2018)",
        lambda score: float(score.e.mean(axis=0).max()),
    ),
    Metric(
        "e_measure_mean",
        "mean E",
        "mean, over thresholds and images, of each image's E-measure",
        lambda score: float(score.e.mean()),
    ),
    Metric(
        "e_measure_adaptive",
        "adaptive E",
        "mean over images of the E-measure at one threshold: twice the map's mean, at most 1",
        lambda score: float(score.adaptive_e.mean()),
    ),
)


#: What holds for all of them.
PREPARATION = (
    "masks stretched to 0..1, each by its own least and greatest value; truth is above 128; "
    "cut at floor(255 x) >= t for t = 0..255; F with beta^2 = 0.3 unless said"
)
