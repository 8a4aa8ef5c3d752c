"""Two processes: what they tell each other, and that together they are one."""

import json
from pathlib import Path

import pytest
import support
from support.launching import finish, launch
from support.runs import METHODS_SMALL, photographs_and_masks, undisturbed

TOGETHER = str(Path(support.__path__[0]) / "together.py")
methods = pytest.mark.parametrize("method", METHODS_SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def found(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return [json.loads(text) for text in finish(launch([TOGETHER, *map(str, (*made, out))]))]


def test_each_rank_hears_the_others(found):
    for rank in (0, 1):
        talk = found[rank]["talk"]
        assert talk["size"] == 2
        assert talk["gather"] == [[1, 2], [2, 2]]
        assert talk["share"] == [[0, 1], [2, 3]][rank]
        assert talk["mean"] == 0.5
        assert talk["any"] == [False, True, True]
        assert talk["decide"] == "said by 0"
        assert talk["refused"] == "as rank 0 found"
        # Both ranks' losses reach a row, by their weights of 1 and 2.
        assert talk["gathered_gradient"] == [[[3, 30]], [[300, 3000]]][rank]
        assert talk["added_gradient"] == [[3, 3]]


def test_batch_norm_over_two_ranks_is_that_of_all_samples(found):
    for differences in (rank["batch norm"] for rank in found):
        assert max(differences.values()) < 1e-4, differences


@methods
def test_two_ranks_go_on_to_the_last_bit(found, method):
    """The ranks hold the same networks and memory, or their checkpoint would not serve both."""
    for rank in found:
        assert rank[method]["interrupted"] == rank[method]["undisturbed"]


@methods
def test_two_ranks_learn_what_one_does(found, made, method, tmp_path):
    """In the same order, from the same draws; but for the order in which numbers are added."""
    alone = undisturbed(method, *made, tmp_path)["losses"]
    assert found[0][method]["undisturbed"]["losses"] == pytest.approx(alone, rel=2e-3)
