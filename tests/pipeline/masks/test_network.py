"""How a network runs: defaults by device."""

from pathlib import Path

import joblib
import pytest

from dilo.pipeline.masks.network import InferenceSettings

FILE = Path("/runs/weights.pth")


@pytest.mark.parametrize(
    ("cores", "processes", "threads"), [(96, 8, 12), (96, 1, 16), (4, 8, 1), (8, 4, 2)]
)
def test_a_gpu_s_threads_are_its_process_s_share_of_the_cores(
    monkeypatch, cores, processes, threads
):
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    assert InferenceSettings(FILE, "cuda", processes=processes).threads == threads
    assert InferenceSettings(FILE, "cuda", workers=7, processes=processes).threads == 7
    assert InferenceSettings(FILE, "cpu", processes=processes).threads == 1


def test_a_batch_is_what_is_said_or_what_suits_the_device():
    assert [InferenceSettings(FILE, device).batch_size for device in ("cpu", "cuda")] == [1, 32]
    assert InferenceSettings(FILE, "cuda", batch=5).batch_size == 5
