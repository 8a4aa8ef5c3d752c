"""The vote of the nearest neighbours, against the paper read literally, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dilo.train.monitor.knn import knn_accuracy, knn_scores


def _problem(seed, rows=60, queries=25, width=6, classes=7):
    """Draw a bank and queries; float64, so that the oracle sees the same order."""
    rng = np.random.default_rng(seed)
    return (
        torch.from_numpy(rng.normal(size=(rows, width))),
        torch.from_numpy(rng.integers(0, classes, rows)),
        torch.from_numpy(rng.normal(size=(queries, width))),
        torch.from_numpy(rng.integers(0, classes, queries)),
    )


def _literal_accuracy(problem, k, temperature, classes):
    """Equation by equation, one query and one neighbour at a time."""
    bank, bank_labels, queries, query_labels = (part.tolist() for part in problem)
    first = among_five = 0
    for query, truth in zip(queries, query_labels, strict=True):
        similarities = []
        for row, label in zip(bank, bank_labels, strict=True):
            dot = sum(a * b for a, b in zip(query, row, strict=True))
            similarities.append((dot / (math.hypot(*query) * math.hypot(*row)), label))
        votes = [0.0] * classes
        for similarity, label in sorted(similarities, reverse=True)[:k]:
            votes[label] += math.exp(similarity / temperature)
        order = sorted(range(classes), key=lambda label: -votes[label])
        voted = [label for label in order if votes[label] > 0]
        first += truth in voted[:1]
        among_five += truth in voted[:5]
    return 100 * first / len(queries), 100 * among_five / len(queries)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 40),
    queries=st.integers(1, 12),
    classes=st.integers(1, 9),
    temperature=st.floats(0.02, 2.0),
    data=st.data(),
)
def test_equals_the_paper_read_one_neighbour_at_a_time(
    seed, rows, queries, classes, temperature, data
):
    k = data.draw(st.integers(1, rows))
    chunk = data.draw(st.integers(1, 50))
    problem = _problem(seed, rows, queries, classes=classes)
    (found,) = knn_accuracy(*problem, ks=[k], temperature=temperature, classes=classes, chunk=chunk)
    expected = _literal_accuracy(problem, k, temperature, classes)
    assert_allclose((found.top1, found.top5), expected)


# On the unit circle, seen from a query at 0 degrees: one neighbour of class 1 at 10
# degrees, two of class 0 at 20 and -20, one of class 2 at 180. Lengths differ, because
# only directions count.
ANGLES = [10, 20, -20, 180]
BANK = torch.tensor(
    [
        [n * math.cos(math.radians(a)), n * math.sin(math.radians(a))]
        for n, a in enumerate(ANGLES, 1)
    ]
)
BANK_LABELS = torch.tensor([1, 0, 0, 2])
QUERY = torch.tensor([[5.0, 0.0]])


@pytest.mark.parametrize(
    ("k", "temperature", "winner"),
    [
        pytest.param(1, 0.07, 1, id="alone, the nearest wins"),
        pytest.param(3, 0.07, 0, id="warm, two further ones outweigh it: 2 exp(-0.65) > 1"),
        pytest.param(3, 0.05, 1, id="cold, they do not: 2 exp(-0.90) < 1"),
        pytest.param(4, 0.07, 0, id="the opposite point changes nothing"),
    ],
)
def test_four_points_placed_by_hand_elect_the_class_with_the_most_weight(k, temperature, winner):
    accuracies = {
        label: knn_accuracy(
            BANK,
            BANK_LABELS,
            QUERY,
            torch.tensor([label]),
            ks=[k],
            temperature=temperature,
            classes=3,
        )[0].top1
        for label in range(3)
    }
    assert accuracies == {label: 100.0 * (label == winner) for label in range(3)}


def test_a_class_without_neighbours_is_not_among_the_first_five():
    found = knn_accuracy(
        BANK, BANK_LABELS, QUERY, torch.tensor([2]), ks=[3, 4], temperature=0.07, classes=3
    )
    assert [accuracy.top5 for accuracy in found] == [0.0, 100.0]


@pytest.mark.parametrize(("truth", "top1"), [(1, 100.0), (2, 0.0)])
def test_between_equal_scores_the_lower_class_goes_first(truth, top1):
    (found,) = knn_accuracy(
        QUERY.repeat(2, 1),
        torch.tensor([2, 1]),
        QUERY,
        torch.tensor([truth]),
        ks=[2],
        temperature=0.07,
        classes=3,
    )
    assert (found.top1, found.top5) == (top1, 100.0)


def test_scores_are_logarithms_relative_to_the_nearest_neighbour():
    scores = knn_scores(
        torch.tensor([[0.5, 0.4, 0.1]]), torch.tensor([[1, 0, 1]]), temperature=0.1, classes=3
    )
    expected = [[math.exp(-1.0), 1.0 + math.exp(-4.0), 0.0]]
    assert_allclose(scores.exp(), expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [1e-4, 1e-30])
def test_a_tiny_temperature_neither_overflows_nor_loses_the_order(temperature):
    similarities = torch.tensor([[0.9, 0.5, 0.1, -0.9]], dtype=torch.float64)
    scores = knn_scores(
        similarities, torch.tensor([[3, 1, 0, 2]]), temperature=temperature, classes=5
    )
    assert not scores.isnan().any()
    assert scores[0].argsort(descending=True).tolist() == [3, 1, 0, 2, 4]
    assert scores[0, 4] == -math.inf


def test_hits_are_told_by_class_too_and_nothing_of_a_class_nobody_asked_about():
    rows = torch.eye(3)
    (found,) = knn_accuracy(
        rows,
        torch.tensor([0, 1, 3]),
        rows[[0, 0, 1, 2]],
        torch.tensor([0, 1, 1, 3]),  # the second lies beside a row of class 0
        ks=[1],
        temperature=0.07,
        classes=5,
    )
    assert found.per_class == (100.0, 50.0, None, 100.0, None)
    assert found.top1 == 75.0


def test_all_k_in_one_pass_equal_each_alone():
    problem = _problem(1)
    ks = [20, 1, 5, 60]
    together = knn_accuracy(*problem, ks=ks, temperature=0.07, classes=7)
    assert [accuracy.k for accuracy in together] == ks
    for accuracy in together:
        alone = knn_accuracy(*problem, ks=[accuracy.k], temperature=0.07, classes=7)
        assert alone == (accuracy,)


@pytest.mark.parametrize("chunk", [1, 7, 25, 60, 1000])
def test_chunks_change_nothing(chunk):
    problem = _problem(2)
    settings_ = {"ks": [1, 20], "temperature": 0.07, "classes": 7}
    assert knn_accuracy(*problem, **settings_, chunk=chunk) == knn_accuracy(*problem, **settings_)


def test_the_order_of_the_bank_does_not_matter():
    bank, bank_labels, queries, query_labels = _problem(3)
    order = torch.randperm(len(bank), generator=torch.Generator().manual_seed(0))
    settings_ = {"ks": [1, 20], "temperature": 0.07, "classes": 7}
    assert knn_accuracy(bank, bank_labels, queries, query_labels, **settings_) == knn_accuracy(
        bank[order], bank_labels[order], queries, query_labels, **settings_
    )


def test_the_features_given_are_left_as_they_are():
    problem = _problem(4)
    copies = [part.clone() for part in problem]
    knn_accuracy(*problem, ks=[3], temperature=0.07, classes=7)
    assert all(torch.equal(part, copy) for part, copy in zip(problem, copies, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"ks": [1, 61]}, r"between 1 and 60, .* got \(1, 61\)", id="k-too-large"),
        pytest.param({"ks": [0]}, r"between 1 and 60, .* got \(0,\)", id="k-zero"),
        pytest.param({"ks": []}, r"between 1 and 60, .* got \(\)", id="no-k"),
        pytest.param({"temperature": 0.0}, "must be positive, got 0.0", id="zero-temperature"),
        pytest.param({"temperature": math.nan}, "must be positive, got nan", id="nan-temperature"),
        pytest.param({"classes": 3}, r"between 0 and 2, got 0 to 6", id="label-too-large"),
    ],
)
def test_a_bad_setting_is_named(change, message):
    good = {"ks": [1], "temperature": 0.07, "classes": 7}
    with pytest.raises(ValueError, match=message):
        knn_accuracy(*_problem(5), **(good | change))


def test_labels_that_do_not_fit_their_features_are_refused():
    bank, bank_labels, queries, query_labels = _problem(6)
    with pytest.raises(ValueError, match=r"one label a row, got \(60, 6\) and labels \(59,\)"):
        knn_accuracy(
            bank, bank_labels[:-1], queries, query_labels, ks=[1], temperature=0.07, classes=7
        )
    with pytest.raises(ValueError, match=r"queries must .* M > 0 .* got \(0, 6\)"):
        knn_accuracy(
            bank, bank_labels, queries[:0], query_labels[:0], ks=[1], temperature=0.07, classes=7
        )
