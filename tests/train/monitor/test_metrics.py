"""The record: lines that go on after a kill without a gap or a repeat; what a run ran on."""

import dataclasses
import json
import math
import sys

import pytest
import torch
from support.runs import small_recipe

from dilo.train.monitor import run_info as record
from dilo.train.monitor.metrics import (
    METRICS,
    DeviceWaits,
    MetricsFile,
    ThroughputMeter,
    read_metrics,
)
from dilo.train.monitor.run_info import RUN_INFO, read_run_info, write_run_info


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_lines_after_the_checkpoint_and_lines_cut_short_are_dropped(tmp_path):
    record = MetricsFile(tmp_path, 0)
    for step in (1, 2, 3, 4):
        record.add({"step": step, "loss": step / 3})
        record.add({"step": step, "knn_top1": 10.0 * step})
    record.close()
    with (tmp_path / METRICS).open("a") as file:
        file.write('[3]\n"three"\n{"step": 5, "lo')
    again = MetricsFile(tmp_path, 3)
    again.add({"step": 4, "loss": 1.0})
    again.close()
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    assert losses == [(1, 1 / 3), (2, 2 / 3), (3, 1.0), (4, 1.0)]
    assert [line["step"] for line in lines if "knn_top1" in line] == [1, 2, 3]


def test_a_loss_that_is_no_number_is_null_which_every_reader_knows(tmp_path):
    record = MetricsFile(tmp_path, 0)
    record.add({"step": 1, "loss": math.nan, "lr": 0.1})
    record.close()
    assert (tmp_path / METRICS).read_text() == '{"step": 1, "loss": null, "lr": 0.1}\n'


def test_a_run_without_metrics_has_no_lines(tmp_path):
    assert read_metrics(tmp_path) == []


def test_a_line_tells_of_the_batches_since_the_last_line_alone():
    clock = Clock()
    meter = ThroughputMeter(clock)
    meter.batch(images=32, wait_seconds=1.5, views=64, pastes=16, skipped=3)
    clock.now += 4
    meter.batch(images=32, wait_seconds=0.5, views=64, pastes=32, skipped=0)
    clock.now += 4
    assert meter.line() == {
        "images_per_second": 8.0,  # 64 images in 8 seconds
        "data_wait": 0.25,
        "paste_rate": 0.375,
        "skipped_pastes": 3,
    }
    meter.batch(images=10, wait_seconds=0.0, views=20, pastes=0, skipped=1)
    clock.now += 2
    assert meter.line() == {
        "images_per_second": 5.0,
        "data_wait": 0.0,
        "paste_rate": 0.0,
        "skipped_pastes": 1,
    }


def test_a_pause_is_no_time_of_training():
    clock = Clock()
    meter = ThroughputMeter(clock)
    meter.batch(images=30, wait_seconds=1.0, views=60, pastes=0, skipped=0)
    clock.now += 2
    with meter.paused():
        clock.now += 1000
    clock.now += 3
    line = meter.line()
    assert (line["images_per_second"], line["data_wait"]) == (6.0, 0.2)


def test_a_line_at_once_after_another_divides_by_nothing():
    meter = ThroughputMeter(Clock())
    assert set(meter.line().values()) == {0}


def test_run_json_tells_recipe_versions_and_data_of_the_latest_start_and_all_starts(
    tmp_path, monkeypatch
):
    recipe = small_recipe("paste.probability=0.25")
    data = {"images": "digest", "masks": "fingerprint", "backgrounds": ""}
    facts = {"device": "cpu", "world_size": 1, "precision": "fp32", "step": 0, "data": data}
    monkeypatch.setattr(record, "git_commit", lambda: "abc+changes")
    monkeypatch.setattr(sys, "argv", ["dilo-train", "--out", "run"])
    write_run_info(tmp_path, recipe, facts)
    write_run_info(tmp_path, recipe, facts | {"device": "H100", "world_size": 8, "step": 40})
    found = read_run_info(tmp_path)
    assert found["recipe"] == json.loads(json.dumps(dataclasses.asdict(recipe)))
    assert found["recipe"]["paste"]["probability"] == 0.25
    assert found["data"] == data
    assert found["versions"]["torch"] == torch.__version__
    assert found["commit"] == "abc+changes"
    assert (found["device"], found["step"]) == ("H100", 40)
    first, second = found["starts"]
    assert (first["step"], first["device"], first["world_size"]) == (0, "cpu", 1)
    assert (second["step"], second["device"], second["world_size"]) == (40, "H100", 8)
    assert first["argv"] == ["dilo-train", "--out", "run"]
    assert first["time"] <= second["time"]


@pytest.mark.parametrize("damage", ['{"starts": [', "[]", '{"starts": 7}'])
def test_a_damaged_run_json_is_written_anew(tmp_path, damage):
    (tmp_path / RUN_INFO).write_text(damage)
    write_run_info(tmp_path, small_recipe(), {"step": 3})
    assert [start["step"] for start in read_run_info(tmp_path)["starts"]] == [3]


def test_lines_that_no_program_wrote_are_left_out(tmp_path):
    lines = ('{"step": 1}', "[" * 200_000, '{"step": ' + "9" * 4000 + "}", '{"step": 2}', "\x00")
    (tmp_path / METRICS).write_text("\n".join(lines))
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]
    (tmp_path / RUN_INFO).write_text('{"a": ' * 200_000)
    assert read_run_info(tmp_path) == {}


class Event:
    """Stands for an event on a stream of a GPU, which happens at the time of a test's clock."""

    now = 0.0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self, stream):
        self.time = Event.now

    def elapsed_time(self, other):
        return other.time - self.time


def test_a_gpu_waits_from_the_end_of_a_step_to_the_beginning_of_the_next(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(Event, "now", 0.0)
    waits = DeviceWaits(torch.device("cuda"))
    waits.end()  # of the first step: what came before is no wait between steps
    for busy, idle in ((70.0, 5.0), (80.0, 0.0), (60.0, 7.0)):
        Event.now += busy
        waits.begin()
        Event.now += idle
        waits.end()
    assert waits.take() == pytest.approx(0.012)
    assert waits.take() == 0


def test_on_a_cpu_python_itself_waits_and_no_event_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", None)
    waits = DeviceWaits(torch.device("cpu"))
    waits.begin()
    waits.end()
    assert waits.take() == 0
