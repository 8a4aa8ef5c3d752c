"""Groups that take turns: what they share, what each has for itself, and how they fail."""

import pytest
import torch
from support.ranks import on_ranks

from dilo.eval.detect.groups import current_group, in_groups


def generators(count):
    return [torch.Generator().manual_seed(number) for number in range(count)]


def test_values_are_averaged_with_equal_weight_and_gradients_flow_to_all_groups():
    parts = [torch.tensor([float(n), 2.0 * n]).requires_grad_() for n in range(3)]

    def work(part):
        mean = current_group().average(torch.cat([part, torch.ones(1)]))
        return (mean * mean).sum()

    results = in_groups(work, parts, generators(3))
    assert [each.item() for each in results] == [5.0, 5.0, 5.0]
    torch.stack(results).mean().backward()
    # Of the mean m = (1, 2) of three, d(m * m) is 2 m / 3 for each.
    for part in parts:
        assert part.grad.tolist() == pytest.approx([2 / 3, 4 / 3])


def test_a_group_of_weight_0_does_not_count():
    parts = [torch.tensor([6.0, 1.0]), torch.tensor([0.0, 0.0])]
    means = in_groups(lambda part: current_group().average(part), parts, generators(2))
    assert [float(each) for each in means] == [6.0, 6.0]


def test_groups_of_several_ranks_average_as_those_of_one(monkeypatch):
    parts = [torch.tensor([float(n**2), 1.0]) for n in range(3)]

    def mean(part):
        return float(current_group().average(part))

    alone = in_groups(mean, parts, generators(3))
    shared = on_ranks(monkeypatch, 3, lambda rank: in_groups(mean, [parts[rank]], generators(1)))
    assert alone == pytest.approx([5 / 3] * 3)
    assert [mean for (mean,) in shared] == alone


def test_each_group_draws_from_its_own_generator_in_the_order_of_the_numbers():
    order = []

    def work(number):
        order.append(number)
        first = float(torch.rand((), generator=current_group().generator))
        current_group().average(torch.ones(2))
        order.append(number)
        return first

    drawn = in_groups(work, [0, 1, 2], generators(3))
    assert order == [0, 1, 2, 0, 1, 2]
    assert drawn == [float(torch.rand((), generator=each)) for each in generators(3)]
    assert current_group() is None


def test_groups_compute_in_the_precision_and_with_the_gradients_of_the_caller():
    def work(_):
        current_group().average(torch.ones(2))
        return (torch.ones(1, 1) @ torch.ones(1, 1)).dtype, torch.is_grad_enabled()

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert in_groups(work, [0, 1], generators(2)) == [(torch.bfloat16, False)] * 2
    assert in_groups(work, [0, 1], generators(2)) == [(torch.float32, True)] * 2


def test_the_error_of_a_group_ends_all_others():
    def work(number):
        if number == 1:
            raise ValueError("group 1 has no room")
        return current_group().average(torch.ones(2))

    with pytest.raises(ValueError, match="group 1 has no room"):
        in_groups(work, [0, 1, 2], generators(3))
