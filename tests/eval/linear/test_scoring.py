"""Places of the true class, read one image and one class at a time."""

import pytest
import torch

from dilo.eval.linear.scoring import per_class, topk_accuracy, true_class_ranks
from dilo.pipeline.errors import CheckpointError


@pytest.fixture
def drawn():
    numbers = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(9, 4, generator=numbers), torch.randn(9, generator=numbers)
    rows = torch.randn(50, 4, generator=numbers)
    return weight, bias, rows, torch.randint(9, (50,), generator=numbers)


@pytest.mark.parametrize("chunk", [7, 50, 4096])
def test_places_are_those_of_a_loop_over_images_and_classes(drawn, chunk):
    weight, bias, rows, labels = drawn
    expected = []
    for row, label in zip(rows, labels.tolist(), strict=True):
        scores = [float(weight[c] @ row + bias[c]) for c in range(9)]
        expected.append(sum(other > scores[label] for other in scores))
    assert true_class_ranks(weight, bias, rows, labels, chunk).tolist() == expected
    found = topk_accuracy(torch.tensor(expected))
    assert found.top1 == pytest.approx(100 * sum(place < 1 for place in expected) / 50)
    assert found.top5 == pytest.approx(100 * sum(place < 5 for place in expected) / 50)
    assert 0 < found.top1 < found.top5 < 100


def test_constant_scores_are_no_more_right_than_guessing():
    labels = torch.arange(4)
    found = true_class_ranks(torch.zeros(4, 2), torch.zeros(4), torch.ones(4, 2), labels)
    assert found.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused_and_not_called_right(value):
    with pytest.raises(CheckpointError, match=r"must be finite, got NaN or infinity.*--lr"):
        true_class_ranks(
            torch.full((2, 2), value), torch.zeros(2), torch.ones(3, 2), torch.zeros(3).long()
        )


def test_each_class_counts_its_own_images_and_one_without_any_is_skipped():
    found, labels = torch.tensor([0, 3, 0, 0, 1]), torch.tensor([0, 0, 2, 2, 2])
    assert per_class(found, labels, ("ant", "bee", "cat")) == {"ant": 50.0, "cat": 200 / 3}
