"""TensorBoard's points: those of metrics.jsonl, and none of steps that are taken again."""

import sys
import types

import pytest

from dilo.pipeline.errors import DiloError
from dilo.train.monitor.metrics import TensorBoardFile

LINE = {"step": 30, "epoch": 1, "loss": 2.5, "lr": 0.03}


class Writer:
    """What is asked of torch's SummaryWriter, written down."""

    def __init__(self, folder, purge_step=None):
        self.calls = [("open", folder, purge_step)]
        Writer.last = self

    def add_scalar(self, tag, value, step):
        self.calls.append((tag, value, step))

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


def test_each_scalar_of_a_line_is_a_point_at_its_step(tmp_path, monkeypatch):
    fake = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    board = TensorBoardFile(tmp_path, 20)
    board.add(LINE)
    board.add({"step": 40, "epoch": 1, "knn_top1": 55.0, "knn_k": 20, "loss": None})
    board.close()
    assert Writer.last.calls == [
        ("open", str(tmp_path / "tensorboard"), 21),
        ("loss", 2.5, 30),
        ("lr", 0.03, 30),
        "flush",
        ("knn_top1", 55.0, 40),
        "flush",
        "close",
    ]


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DiloError, match=r"pip install 'dilo\[tensorboard\]'"):
        TensorBoardFile(tmp_path, 0)


@pytest.mark.filterwarnings("ignore")
def test_points_of_steps_that_are_taken_again_are_not_drawn(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps, loss in ((0, (10, 20, 30, 40), 1.0), (20, (30,), 2.0)):
        board = TensorBoardFile(tmp_path, start)
        for step in steps:
            board.add(LINE | {"step": step, "loss": loss})
        board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    points = [(point.step, point.value) for point in events.Scalars("loss")]
    assert points == [(10, 1.0), (20, 1.0), (30, 2.0)]
