"""Ranks of photographs: by hand, and against sorting."""

import pytest
import torch
from torch.nn.functional import normalize

from dilo.eval.backgrounds.metrics import mean_difference
from dilo.eval.backgrounds.ranks import (
    Ranks,
    chance,
    paired_ranks,
    rank_metrics,
    rank_photographs,
)


def test_a_rank_is_the_place_among_all_photographs_sorted_by_their_cosine():
    numbers = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(n, 8, generator=numbers) for n in (40, 300))
    rows = torch.randint(0, 40, (300,), generator=numbers)
    found = rank_photographs(bank, queries, rows)
    order = (normalize(queries) @ normalize(bank).T).argsort(1, descending=True)
    assert torch.equal(found.first, order[:, 0])
    assert torch.equal(found.own, (order == rows[:, None]).nonzero()[:, 1] + 1)


def test_a_network_that_maps_all_images_to_one_point_finds_nothing():
    found = rank_photographs(torch.ones(30, 4), torch.ones(5, 4), torch.arange(5))
    assert found.own.tolist() == [30] * 5


def test_shares_medians_and_backgrounds_are_counted():
    ranks = Ranks(torch.tensor([1, 12, 1, 3, 11, 10]), torch.tensor([0, 9, 2, 7, 9, 8]))
    record = rank_metrics(ranks, torch.tensor([5, 9, -1, 7, 1, 1]))
    values = {key: share["value"] for key, share in record.items()}
    assert values == pytest.approx(
        {
            "top1": 100 * 2 / 6,
            "top10": 100 * 4 / 6,
            "median_rank": 3,  # the lower of 3 and 10
            "finds_background": 100 * 2 / 5,
        }
    )
    assert (record["median_rank"]["low"], record["median_rank"]["high"]) == (1, 12)
    assert record["finds_background"]["images"] == 5
    assert "finds_background" not in rank_metrics(ranks, torch.full((6,), -1))


def test_networks_are_compared_query_by_query():
    first, second = (
        Ranks(torch.tensor(own), torch.zeros(4)) for own in ([1, 1, 2, 30], [1, 9, 1, 40])
    )
    (pair,) = paired_ranks({"a": first, "b": second})
    assert (pair["first"], pair["second"]) == ("a", "b")
    assert pair["top1"] == vars(mean_difference(torch.tensor([0.0, 1.0, -1.0, 0.0]).double()))
    assert pair["top10"]["value"] == 0.0


def test_chance_is_that_of_a_random_order():
    assert chance(40) == {
        "top1": 2.5,
        "top10": 25.0,
        "median_rank": 20.5,
        "finds_background": 2.5,
    }
    assert chance(4)["top10"] == 100.0
