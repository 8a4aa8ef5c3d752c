"""Neighbours against a look at every pair of images."""

from pathlib import Path

import pytest
import torch
from support.features import chosen_features

from dilo.eval.models.encoder import Encoder
from dilo.eval.neighbors.search import TEMPERATURE, find_neighbors
from dilo.pipeline.errors import DiloError

ENCODER = Encoder(torch.nn.Identity(), 16, Path("c.pt"), step=7)


def chosen(vectors, labels, classes=("a", "b", "c")):
    return chosen_features(torch.as_tensor(vectors, dtype=torch.float32), labels, classes)


def drawn(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator).tolist()
    return chosen(torch.randn(count, 5, generator=generator), labels)


@pytest.mark.parametrize("itself", [True, False])
def test_neighbors_are_the_images_of_largest_cosine_the_query_itself_aside(itself):
    bank = drawn(40, 0)
    queries = bank if itself else drawn(9, 1)
    found = find_neighbors("x", ENCODER, bank, None if itself else queries, 3)
    assert found.rows.shape == (len(queries.labels), 20)  # as many as vote
    for q, vector in enumerate(queries.vectors):
        cosines = [
            (float(torch.cosine_similarity(vector, other, 0)), row)
            for row, other in enumerate(bank.vectors)
            if not (itself and row == q)
        ]
        expected = sorted(cosines, reverse=True)[:20]
        assert found.rows[q].tolist() == [row for _, row in expected]
        assert found.similarities[q].tolist() == pytest.approx([s for s, _ in expected], abs=1e-5)


def test_the_vote_weighs_twenty_neighbors_and_precision_counts_the_first_k():
    bank, queries = drawn(40, 2), drawn(11, 3)
    found = find_neighbors("x", ENCODER, bank, queries, 25)
    right = same = 0
    for q, truth in enumerate(queries.labels.tolist()):
        weights = [0.0, 0.0, 0.0]
        for i in range(20):
            cosine = torch.cosine_similarity(queries.vectors[q], bank.vectors[found.rows[q, i]], 0)
            weights[int(bank.labels[found.rows[q, i]])] += float((cosine / TEMPERATURE).exp())
        assert int(found.votes[q]) == weights.index(max(weights))
        right += weights.index(max(weights)) == truth
        same += sum(int(bank.labels[row]) == truth for row in found.rows[q, :25].tolist())
    assert 0 < right < 11
    assert found.accuracy() == pytest.approx(100 * right / 11)
    assert found.precision(25) == pytest.approx(100 * same / (11 * 25))


def test_copies_of_an_image_are_its_neighbors_and_the_image_is_not():
    bank = chosen([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 30, [0] * 30 + [1] * 30)
    found = find_neighbors("x", ENCODER, bank, None, 3)
    assert found.rows.shape == (60, 20)
    assert not (found.rows == torch.arange(60)[:, None]).any()
    assert found.precision(20) == found.accuracy() == 100


def test_without_classes_nothing_votes_and_nothing_is_right():
    bank = chosen(torch.eye(4), [-1] * 4, ())
    found = find_neighbors("x", ENCODER, bank, None, 2)
    assert found.votes.tolist() == [-1] * 4
    assert not found.same.any()
    assert not found.right.any()


def test_queries_without_classes_have_a_vote_that_is_not_right():
    found = find_neighbors("x", ENCODER, drawn(9, 4), chosen(torch.eye(5), [-1] * 5, ()), 2)
    assert (found.votes >= 0).all()
    assert not found.same.any()
    assert not found.right.any()


def test_more_neighbors_than_other_images_are_refused():
    with pytest.raises(DiloError, match=r"--k must be at most 8, .* got 9: give more images"):
        find_neighbors("x", ENCODER, drawn(9, 5), None, 9)
    assert find_neighbors("x", ENCODER, drawn(9, 5), drawn(2, 6), 9).rows.shape == (2, 9)
