"""Ranks of photographs: by hand, and against sorting."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from dilo.eval.backgrounds.ranks import (
    Ranks,
    chance,
    paired_ranks,
    rank_metrics,
    rank_photographs,
)
from dilo.eval.common.outcomes import mean_difference


def ranks_of(own, first=None, photographs=None):
    """Give ranks of a query an image, each of a photograph of its own."""
    own = np.array(own).reshape(len(own), -1)
    first = np.zeros_like(own) if first is None else np.array(first).reshape(own.shape)
    return Ranks(own, first, np.arange(len(own)) if photographs is None else photographs)


def test_a_rank_is_the_place_among_all_photographs_sorted_by_their_cosine():
    numbers = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(n, 8, generator=numbers) for n in (40, 300))
    rows = torch.randint(0, 40, (300,), generator=numbers)
    ranks, first = rank_photographs(bank, torch.arange(40), queries, rows)
    order = (normalize(queries) @ normalize(bank).T).argsort(1, descending=True)
    assert torch.equal(first, order[:, 0])
    assert torch.equal(ranks, (order == rows[:, None]).nonzero()[:, 1] + 1)


def test_of_several_images_of_a_photograph_the_most_similar_one_counts():
    numbers = torch.Generator().manual_seed(1)
    bank, queries = (torch.randn(n, 8, generator=numbers) for n in (40, 300))
    photographs, own = torch.arange(40) % 7, torch.randint(0, 7, (300,), generator=numbers)
    ranks, _ = rank_photographs(bank, photographs, queries, own)
    order = (normalize(queries) @ normalize(bank).T).argsort(1, descending=True)
    places = (photographs[order] == own[:, None]).int().argmax(1)
    assert torch.equal(ranks, places + 1)


def test_a_network_that_maps_all_images_to_one_point_finds_nothing():
    ranks, _ = rank_photographs(
        torch.ones(30, 4), torch.arange(30), torch.ones(5, 4), torch.ones(5)
    )
    assert ranks.tolist() == [30] * 5
    photographs = torch.arange(30) // 10
    ranks, _ = rank_photographs(torch.ones(30, 4), photographs, torch.ones(5, 4), torch.ones(5))
    assert ranks.tolist() == [21] * 5


def test_shares_medians_and_backgrounds_are_counted():
    ranks = ranks_of([1, 12, 1, 3, 11, 10], [0, 9, 2, 7, 9, 8])
    donors = np.array([[5], [9], [3], [7], [1], [1]])
    record = rank_metrics(ranks, np.arange(12), donors)
    values = {key: share["value"] for key, share in record.items()}
    assert values == pytest.approx(
        {
            "top1": 100 * 2 / 6,
            "top10": 100 * 4 / 6,
            "median_rank": 3,  # the lower of 3 and 10
            "finds_background": 100 * 2 / 6,
        }
    )
    assert (record["median_rank"]["low"], record["median_rank"]["high"]) == (1, 12)
    assert record["finds_background"]["images"] == 6
    assert "finds_background" not in rank_metrics(ranks, np.arange(12), np.full((6, 1), -1))


def test_a_photograph_counts_once_however_many_queries_it_has():
    # Two queries each of two images of photograph 3, and of the only image of photograph 0.
    ranks = ranks_of([[1, 1], [1, 2], [9, 8]], photographs=np.array([3, 3, 0]))
    record = rank_metrics(ranks, np.array([0, 3, 3]), np.full((3, 2), -1))
    assert (record["top1"]["value"], record["top1"]["images"]) == (100 * (3 / 4 + 0) / 2, 2)
    assert record["median_rank"] == {"value": 1, "low": 1, "high": 8, "images": 2}
    (pair,) = paired_ranks({"a": ranks, "b": ranks_of([[2, 2]] * 3, None, ranks.photographs)})
    assert pair["top1"] == vars(mean_difference(np.array([0.0, 3 / 4])))


def test_networks_are_compared_query_by_query():
    first, second = ranks_of([1, 1, 2, 30]), ranks_of([1, 9, 1, 40])
    (pair,) = paired_ranks({"a": first, "b": second})
    assert (pair["first"], pair["second"]) == ("a", "b")
    assert pair["top1"] == vars(mean_difference(np.array([0.0, 1.0, -1.0, 0.0])))
    assert pair["top10"]["value"] == 0.0


def test_chance_is_that_of_a_random_order():
    own = np.arange(40)
    assert chance(own, own, own[:, None], own) == pytest.approx(
        {"top1": 2.5, "top10": 25.0, "median_rank": 20, "finds_background": 2.5}
    )
    few = np.arange(4)
    none = np.full((4, 1), -1)
    assert chance(few, few, none, few) == {"top1": 25.0, "top10": 100.0, "median_rank": 2}


def test_chance_is_larger_for_photographs_of_several_images():
    photographs = np.array([0, 0, 0, 1, 1])
    donors = np.array([[3], [4], [4], [0], [1]])
    expected = chance(photographs, photographs, donors, photographs)
    orders = list(itertools.permutations(photographs.tolist()))
    first = [order.index(number) + 1 for number in (0, 1) for order in orders]
    assert expected["top1"] == pytest.approx(100 * np.mean(np.array(first) == 1))
    assert expected["median_rank"] == sorted(first)[(len(first) - 1) // 2]
    assert expected["finds_background"] == pytest.approx(100 * (3 * 2 / 5 + 2 * 3 / 5) / 5)
