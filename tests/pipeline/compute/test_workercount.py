"""How many processes decode: of what this program may use, shared among the ranks of the node."""

import joblib
import pytest

from dilo.pipeline.compute.workercount import RANKS_HERE, default_workers


@pytest.mark.parametrize(
    ("cores", "ranks", "workers"),
    [
        pytest.param(64, None, 16, id="a large machine"),
        pytest.param(8, None, 7, id="a share of eight cores"),
        pytest.param(64, "8", 7, id="eight ranks share"),
        pytest.param(8, "8", 1, id="as many ranks as cores"),
        pytest.param(1, None, 1, id="one core"),
        pytest.param(4, "", 3, id="nothing said"),
        pytest.param(4, "many", 3, id="nonsense said"),
        pytest.param(4, "0", 3, id="no rank"),
    ],
)
def test_usable_cores_less_the_ranks_are_divided_by_the_ranks(monkeypatch, cores, ranks, workers):
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.delenv(RANKS_HERE, raising=False)
    if ranks is not None:
        monkeypatch.setenv(RANKS_HERE, ranks)
    assert default_workers(16) == workers


def test_the_cores_are_those_of_the_process_not_of_the_machine(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # as an affinity or a quota would have it
    monkeypatch.delenv(RANKS_HERE, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 96)
    assert default_workers(16) == 1
