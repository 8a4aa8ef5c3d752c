"""Scores as text: every number in its place, and names as the user wrote them."""

import csv
import json

import numpy as np
from support.scores import made_of

from dilo.eval.saliency.metrics import METRICS
from dilo.eval.saliency.output import per_image, score_record


def curve(*values):
    """Make one row whose largest value and sum are known."""
    row = np.zeros(256)
    row[: len(values)] = values
    return row


def test_each_column_of_the_csv_holds_its_number():
    score = made_of(
        f=np.array([curve(0.5, 0.25), curve(0.75)]),
        e=np.array([curve(0.125, 0.375), curve(1.0)]),
        adaptive_f=np.array([0.11, 0.12]),
        weighted_f=np.array([0.21, 0.22]),
        mae=np.array([0.31, 0.32]),
        s_measure=np.array([0.41, 0.42]),
        adaptive_e=np.array([0.51, 0.52]),
        failed=["1"],
    )
    first, second = csv.DictReader(per_image([score]).splitlines())
    assert first == {
        "method": "x",
        "image": "0",
        "max_f": "0.500000",
        "mean_f": f"{0.75 / 256:.6f}",
        "adaptive_f": "0.110000",
        "weighted_f": "0.210000",
        "mae": "0.310000",
        "s_measure": "0.410000",
        "e_measure_max": "0.375000",
        "e_measure_mean": f"{0.5 / 256:.6f}",
        "e_measure_adaptive": "0.510000",
        "failed": "0",
    }
    assert (second["image"], second["e_measure_max"], second["failed"]) == ("1", "1.000000", "1")


def test_names_with_commas_and_quotes_survive_the_csv():
    score = made_of(mae=np.zeros(1), name='a, "b"', images=["c,d/é"])
    (row,) = csv.DictReader(per_image([score]).splitlines())
    assert (row["method"], row["image"]) == ('a, "b"', "c,d/é")


def test_a_record_is_plain_json_with_the_mean_curves():
    p = np.array([curve(0.5), curve(1.0)])
    record = score_record(made_of(precision=p, recall=p / 2))
    assert json.loads(json.dumps(record)) == record
    assert record["curves"]["mean_precision"][0] == 0.75
    assert record["curves"]["mean_recall"][:2] == [0.375, 0.0]
    expected = 1.3 * 0.75 * 0.375 / (0.3 * 0.75 + 0.375)
    assert abs(record["curves"]["f_benchmark"][0] - expected) < 1e-12
    assert list(record["numbers"]) == [metric.key for metric in METRICS]
