"""The record: lines that go on after a kill without a gap or a repeat."""

import json

from dilo.train.record import METRICS, Record


def test_lines_after_the_checkpoint_and_lines_cut_short_are_dropped(tmp_path):
    record = Record(tmp_path, 0)
    for step in (1, 2, 3, 4):
        record.add({"step": step, "loss": step / 3})
    record.close()
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 5, "lo')
    again = Record(tmp_path, 3)
    again.add({"step": 4, "loss": 1.0})
    again.close()
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["loss"] for line in lines] == [1 / 3, 2 / 3, 1.0, 1.0]
